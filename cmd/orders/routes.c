/* SPDX-License-Identifier: Apache-2.0
 * The service as a table. */
#include "handlers.h"
#include "service/service.h"

const struct route routes[] = {
	{"POST", "/api/v1/orders", order_create, USER},
	{"GET", "/api/v1/orders", order_list, USER},
	{"GET", "/api/v1/orders/user/{user_id}", order_list_of_user, USER},
	{"GET", "/api/v1/users/{user_id}/orders", order_list_of_user, USER},
	{"GET", "/api/v1/orders/{id}", order_read, USER},
	{"GET", "/api/v1/orders/{id}/history", order_history, USER},
	{"POST", "/api/v1/orders/{id}/cancel", order_cancel, USER},
	{"DELETE", "/api/v1/orders/{id}", order_remove, USER},
	{"PUT", "/api/v1/orders/{id}/status", order_change_status, SUPPORT | ADMIN},
	{"PATCH", "/api/v1/orders/{id}/status", order_change_status, SUPPORT | ADMIN},
	{"PUT", "/api/v1/orders/{id}", order_replace, USER}, /* older clients */
	{"PATCH", "/api/v1/orders/{id}/items", order_change_items, USER},
	{"DELETE", "/api/v1/orders/{id}/items/{item_id}", order_remove_item, USER},
	{"POST", "/api/v1/orders/{id}/pay", order_pay, USER},
	{"POST", "/api/v1/orders/{id}/refunds", order_refund, SUPPORT | ADMIN},
	{"GET", "/api/v1/orders/{id}/refunds", order_refunds_list, USER},
	{"POST", "/internal/webhooks/payments", payment_webhook, ANYONE}, /* by its signature */
	{"GET", "/internal/events", service_replay, SERVICE},
	{"GET", "/internal/users/{user_id}", user_may_go, SERVICE},
};
const size_t route_count = sizeof routes / sizeof routes[0];
