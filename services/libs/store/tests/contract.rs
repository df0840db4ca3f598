//! What a store promises, whatever database is below it: one list of tests, run against SQLite and
//! against PostgreSQL.
//!
//! PostgreSQL is found by `HEADWATER_TEST_POSTGRES`, a URL with the right to create databases;
//! `scripts/test` starts a server and sets it. Every test has databases of its own.

#[cfg(test)]
mod contract {
    pub mod alerts;
    pub mod authority;
    pub mod compare;
    pub mod content;
    pub mod corrupt;
    pub mod decisions;
    pub mod downstream;
    pub mod ingest;
    pub mod log;
    pub mod needs;
    pub mod packages;
    pub mod random;
    pub mod retention;
    pub mod runs;
    pub mod schema;
    pub mod settings;
    pub mod shared;
    pub mod site_runs;
    pub mod status;
    pub mod support;
    pub mod units;
    pub mod verify;
    pub mod view;
}

/// Each test of the list twice: `sqlite::module::test` and `postgres::module::test`.
macro_rules! contract {
    ($($module:ident: $($test:ident),+ $(,)?;)+) => {
        mod sqlite {
            $(mod $module {
                $(#[test]
                fn $test() {
                    crate::contract::support::on_sqlite(crate::contract::$module::$test);
                })+
            })+
        }
        mod postgres {
            $(mod $module {
                $(#[test]
                fn $test() {
                    crate::contract::support::on_postgres(crate::contract::$module::$test);
                })+
            })+
        }
    };
}

contract! {
    content:
        a_file_is_kept_as_the_catalog_describes_it,
        wanting_again_changes_only_what_was_not_known,
        the_most_urgent_files_whose_time_has_come_go_first,
        a_synchronization_has_only_licence_terms_tried_again,
        what_claims_to_be_larger_than_any_file_is_not_counted_as_bytes,
        what_is_no_longer_needed_stays_until_it_is_forgotten,
        what_became_of_a_file_is_counted,
        all_files_are_walked_through_in_their_order;
    log:
        each_new_item_gets_the_next_position,
        appending_again_changes_nothing,
        a_changed_item_moves_to_the_end_and_the_others_keep_their_place,
        one_item_twice_in_a_batch_is_held_once,
        removing_leaves_one_tombstone,
        an_item_that_comes_back_counts_as_added,
        many_items_in_one_batch_are_all_there,
        empty_and_large_documents_come_back_byte_for_byte,
        changes_come_in_order_within_the_limits_asked_for,
        changes_that_are_held_already_are_passed_over,
        what_does_not_continue_the_log_is_refused,
        malformed_changes_are_refused,
        forgotten_removals_raise_the_floor,
        the_floor_only_rises,
        an_epoch_begins_with_nothing;
    packages:
        one_hierarchy_is_the_source_of_packages,
        what_was_imported_is_known_until_it_is_forgotten,
        records_are_given_out_as_they_are_verified;
    decisions:
        a_decision_is_held_once_at_its_last_change,
        settings_are_shown_as_far_as_they_are_verified,
        what_was_decided_and_not_signed_is_noticed,
        what_is_held_and_what_is_shown_are_told_apart,
        a_new_epoch_keeps_what_was_decided_in_the_old_one,
        revisions_are_counted_apart_from_other_changes;
    downstream:
        the_time_of_a_note_stands_for_its_position_and_no_other_time_does,
        old_notes_are_forgotten,
        a_server_is_kept_as_it_was_heard_of_last,
        however_many_servers_come_their_number_is_bounded,
        only_what_is_verified_is_read_for_downstream_servers;
    units:
        a_dropped_unit_leaves_nothing,
        the_database_says_how_large_it_is_and_what_was_committed,
        a_repeatable_unit_is_whole_and_mixes_with_others,
        a_unit_that_is_cancelled_at_any_point_leaves_the_store_usable,
        a_commit_whose_answer_nobody_awaits_is_whole_or_nothing,
        positions_are_told_after_the_commit,
        units_of_work_take_turns,
        everything_is_there_after_opening_again;
    view:
        nothing_is_shown_before_a_statement,
        the_verified_catalog_stays_whole_during_a_pull,
        replaced_rows_go_with_the_statement_that_covers_the_replacement,
        rolling_back_restores_the_verified_catalog_exactly,
        a_reader_sees_one_moment,
        an_approval_is_an_item_and_not_a_revision,
        readers_beside_a_writer_see_whole_catalogs;
    verify:
        a_copy_of_the_log_is_accepted,
        an_altered_missing_or_added_row_is_refused,
        a_statement_that_does_not_fit_the_log_is_refused,
        an_older_catalog_is_refused_also_after_starting_over,
        accepting_the_same_again_changes_nothing,
        a_log_that_ends_in_forgotten_removals_reaches_its_statement,
        a_pull_that_is_overtaken_ends_at_the_newer_statement,
        the_summary_does_not_depend_on_what_is_remembered;
    compare:
        whatever_was_done_to_rows_is_named_and_repaired,
        nothing_is_fetched_where_nothing_differs,
        a_restored_parent_is_followed_and_only_differences_move,
        a_replaced_parent_is_followed_whatever_its_places,
        what_was_fetched_is_not_fetched_again,
        what_was_not_listed_is_not_taken,
        only_the_signed_catalog_is_adopted,
        a_site_that_was_away_for_too_long_loses_what_was_removed,
        a_top_level_site_drops_what_is_damaged,
        what_is_signed_is_counted;
    random:
        a_store_does_what_its_model_does,
        copies_in_any_batches_are_equal;
    shared:
        two_stores_on_one_database_take_turns,
        a_store_follows_what_another_one_published;
    status:
        messages_are_numbered_from_the_first_ones_time,
        a_site_that_lost_its_database_repeats_no_number,
        a_relayed_message_is_stored_once,
        a_message_that_comes_back_is_passed_on_again,
        the_outbox_keeps_its_order_until_it_is_acknowledged,
        a_dropped_message_uses_up_no_number,
        the_newest_messages_come_first,
        a_walk_by_time_meets_every_message_once,
        the_messages_of_a_site_are_walked_by_number,
        pruning_keeps_the_newest_and_the_outbox,
        a_new_parent_is_sent_what_the_one_before_acknowledged,
        any_text_is_kept;
    settings:
        the_newest_version_is_in_force,
        old_versions_are_forgotten,
        a_secret_is_kept_until_it_is_given_up;
    runs:
        a_run_is_kept_as_it_was_written_last,
        the_newest_runs_come_first,
        the_last_success_is_the_newest_completed_run,
        pruning_keeps_exactly_the_newest_runs;
    site_runs:
        a_part_is_kept_as_it_was_written_last,
        the_parts_of_one_site_are_found_among_runs,
        sites_are_counted_by_how_their_parts_ended,
        a_run_is_found_and_listed_with_what_was_asked_of_others,
        parts_go_with_their_runs;
    retention:
        an_arrival_is_never_told_too_early,
        records_are_listed_by_kind_and_key,
        of_the_dates_of_removed_revisions_the_earliest_counts,
        old_runs_are_forgotten_but_for_the_last_success,
        old_messages_are_forgotten_once_they_were_delivered;
    alerts:
        an_alert_is_kept_as_it_was_written_last,
        of_a_kind_one_alert_is_open_at_a_site,
        a_condition_that_went_leaves_nothing,
        old_alerts_are_forgotten_and_open_ones_stay,
        nothing_overtakes_on_its_way_to_a_receiver,
        what_a_receiver_did_not_take_for_long_goes_at_once,
        what_waits_for_receivers_is_bounded;
    authority:
        a_site_is_kept_as_it_was_written_last,
        a_join_token_remembers_its_use,
        the_sites_below_a_site_are_those_that_were_not_removed,
        join_tokens_go_with_the_site_that_they_name,
        expired_join_tokens_are_pruned,
        an_access_token_keeps_its_first_role,
        an_older_report_is_ignored;
    ingest:
        quarantine_keeps_the_first_time_and_the_newest_reason,
        wanted_revisions_are_listed_once;
    corrupt:
        a_broken_position_is_an_error,
        a_broken_item_is_an_error,
        a_broken_tree_is_an_error,
        a_broken_message_is_an_error,
        a_broken_row_elsewhere_is_an_error;
    schema:
        the_schema_is_the_one_of_the_other_database;
    needs:
        a_file_is_wanted_as_long_as_an_update_needs_it,
        a_package_carries_what_is_needed_and_here,
        licence_terms_that_are_missing_are_told,
        what_waits_for_a_member_is_found_by_it,
        a_downstream_server_asks_for_what_the_catalog_names,
        the_clean_up_counts_what_nothing_needs;
}
