/* SPDX-License-Identifier: Apache-2.0
 * products: catalogue, search, stock and reservations. */
#include "products.h"

#include "service/service.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &products_service);
}
