/* SPDX-License-Identifier: Apache-2.0
 * Everything that can be reached from outside, and who answers it. Who may call is up to the
 * services (ANYONE here): the gateway only refuses a token that is no good. What is not in this
 * table is not reachable, /internal least of all. */
#include "live.h"

#define V1 "/api/v1"

const struct route routes[] = {
	{"POST", V1 "/auth/register", proxy_to_users, ANYONE},
	{"POST", V1 "/auth/login", proxy_to_users, ANYONE},
	{"POST", V1 "/auth/refresh", proxy_to_users, ANYONE},
	{"POST", V1 "/auth/logout", proxy_to_users, ANYONE},
	{"POST", V1 "/auth/logout-all", proxy_to_users, ANYONE},
	{"POST", V1 "/auth/password", proxy_to_users, ANYONE},
	{"GET", "/.well-known/jwks.json", proxy_to_users, ANYONE},
	{"GET", V1 "/users", proxy_to_users, ANYONE},
	{"GET", V1 "/users/search", proxy_to_users, ANYONE},
	{"GET", V1 "/users/me", proxy_to_users, ANYONE},
	{"PUT", V1 "/users/me", proxy_to_users, ANYONE},
	{"PATCH", V1 "/users/me", proxy_to_users, ANYONE},
	{"DELETE", V1 "/users/me", proxy_to_users, ANYONE},
	{"PUT", V1 "/users/me/password", proxy_to_users, ANYONE},
	{"GET", V1 "/users/{id}", proxy_to_users, ANYONE},
	{"PUT", V1 "/users/{id}", proxy_to_users, ANYONE},
	{"PATCH", V1 "/users/{id}", proxy_to_users, ANYONE},
	{"DELETE", V1 "/users/{id}", proxy_to_users, ANYONE},
	{"PUT", V1 "/users/{id}/role", proxy_to_users, ANYONE},

	{"GET", V1 "/products", proxy_to_products, ANYONE},
	{"POST", V1 "/products", proxy_to_products, ANYONE},
	{"GET", V1 "/products/search", proxy_to_products, ANYONE},
	{"GET", V1 "/products/tags", proxy_to_products, ANYONE},
	{"GET", V1 "/products/{id}", proxy_to_products, ANYONE},
	{"PUT", V1 "/products/{id}", proxy_to_products, ANYONE},
	{"PATCH", V1 "/products/{id}", proxy_to_products, ANYONE},
	{"DELETE", V1 "/products/{id}", proxy_to_products, ANYONE},
	{"PATCH", V1 "/products/{id}/stock", proxy_to_products, ANYONE},
	{"GET", V1 "/products/{id}/stock/movements", proxy_to_products, ANYONE},
	{"GET", V1 "/categories", proxy_to_products, ANYONE},
	{"POST", V1 "/categories", proxy_to_products, ANYONE},
	{"PUT", V1 "/categories/{slug}", proxy_to_products, ANYONE},
	{"DELETE", V1 "/categories/{slug}", proxy_to_products, ANYONE},

	{"GET", V1 "/orders", proxy_to_orders, ANYONE},
	{"POST", V1 "/orders", proxy_to_orders, ANYONE},
	{"GET", V1 "/orders/user/{user_id}", proxy_to_orders, ANYONE},
	{"GET", V1 "/users/{user_id}/orders", proxy_to_orders, ANYONE},
	{"GET", V1 "/orders/{id}", proxy_to_orders, ANYONE},
	{"PUT", V1 "/orders/{id}", proxy_to_orders, ANYONE},
	{"DELETE", V1 "/orders/{id}", proxy_to_orders, ANYONE},
	{"POST", V1 "/orders/{id}/cancel", proxy_to_orders, ANYONE},
	{"POST", V1 "/orders/{id}/pay", proxy_to_orders, ANYONE},
	{"PATCH", V1 "/orders/{id}/items", proxy_to_orders, ANYONE},
	{"DELETE", V1 "/orders/{id}/items/{item_id}", proxy_to_orders, ANYONE},
	{"POST", V1 "/orders/{id}/refunds", proxy_to_orders, ANYONE},
	{"GET", V1 "/orders/{id}/refunds", proxy_to_orders, ANYONE},
	{"PUT", V1 "/orders/{id}/status", proxy_to_orders, ANYONE},
	{"PATCH", V1 "/orders/{id}/status", proxy_to_orders, ANYONE},
	{"GET", V1 "/orders/{id}/history", proxy_to_orders, ANYONE},

	{"GET", V1 "/ws", live_ws, ANYONE},
	{"GET", V1 "/events", live_sse, ANYONE},
	{"POST", V1 "/events/ticket", live_ticket, USER},

	{"GET", V1 "/openapi.json", docs_openapi, ANYONE, .cache_control = "no-cache"},
	{"GET", "/docs", docs_page, ANYONE, .cache_control = "no-cache"},
	{"GET", "/docs/live", docs_live, ANYONE, .cache_control = "no-cache"},
	{"GET", "/docs/{file}", docs_file, ANYONE, .cache_control = "public, max-age=86400"},
	{"GET", "/services", list_services, ADMIN},
};
const size_t route_count = sizeof routes / sizeof *routes;
