/* SPDX-License-Identifier: Apache-2.0
 * payments: a simulated payment provider. Its data are in payments_db. */
#include "handlers.h"

int main(int argc, char **argv)
{
	return service_main(argc, argv, &payments_service);
}
