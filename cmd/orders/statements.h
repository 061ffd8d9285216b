/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pg/pg.h"

/* Of store.c; what they take and give stands beside each use. */
extern const struct pg_statement orders_begin;
extern const struct pg_statement orders_place;
extern const struct pg_statement orders_abandon;
extern const struct pg_statement orders_abandon_keyed;
extern const struct pg_statement orders_refuse;
extern const struct pg_statement orders_key_claim;
extern const struct pg_statement orders_key_answer;
extern const struct pg_statement orders_key_free;
extern const struct pg_statement orders_forget_answers;
extern const struct pg_statement orders_change;
extern const struct pg_statement orders_take;
extern const struct pg_statement orders_take_payment;
extern const struct pg_statement orders_take_refund;
extern const struct pg_statement orders_take_items;
extern const struct pg_statement orders_amend;
extern const struct pg_statement orders_owe;
extern const struct pg_statement orders_advance;
extern const struct pg_statement orders_finish;
extern const struct pg_statement orders_postpone;
extern const struct pg_statement orders_ask_cancel;
extern const struct pg_statement orders_told;
extern const struct pg_statement orders_count_open;
extern const struct pg_statement orders_cancel_all;
extern const struct pg_statement orders_ask_cancel_all;
extern const struct pg_statement orders_forget_intents;
extern const struct pg_statement orders_forget_person;
extern const struct pg_statement orders_take_stalled;
extern const struct pg_statement orders_take_keyed;
extern const struct pg_statement orders_work;
extern const struct pg_statement orders_take_expired;
extern const struct pg_statement orders_attention;
extern const struct pg_statement orders_get;
extern const struct pg_statement orders_list;
extern const struct pg_statement orders_list_user;
extern const struct pg_statement orders_list_status;
extern const struct pg_statement orders_list_user_status;
extern const struct pg_statement orders_history;
extern const struct pg_statement orders_refunds;
