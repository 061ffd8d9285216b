/* SPDX-License-Identifier: Apache-2.0
 * Where what came with this version is found. */
#include "folders.h"

#include <stddef.h>
#include <unistd.h>

#define FOLDERS_INSTALLED BODEGA_DATA_DIR "/migrations"

const char *folders_find(const char *given)
{
	if (given != NULL)
		return given;
	return access(FOLDERS_HERE, F_OK) == 0 ? FOLDERS_HERE : FOLDERS_INSTALLED;
}
