# SPDX-License-Identifier: Apache-2.0
set(BODEGA_SANITIZE "" CACHE STRING "sanitizers, as -fsanitize= takes them")
option(BODEGA_FUZZ "build the libFuzzer targets" OFF)
option(BODEGA_COVERAGE "measure line coverage" OFF)
option(BODEGA_WERROR "warnings are errors" ON)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

# libh2o's headers pick the event loop by a macro: without it on every line its structs have another layout.
add_compile_definitions(_GNU_SOURCE H2O_USE_LIBUV=0 BODEGA_VERSION="${PROJECT_VERSION}")
include(GNUInstallDirs)
set(BODEGA_DATA_DIR ${CMAKE_INSTALL_FULL_DATADIR}/bodega) # migrations, documents
add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes
	-Wframe-larger-than=4096 -fno-omit-frame-pointer)
# Two builds in different folders give the same programs: __FILE__ and debug information know the checkout as ".".
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
add_compile_options(-Wno-missing-field-initializers) # a row of a table says only what is not zero
add_compile_options($<$<C_COMPILER_ID:Clang>:-Wno-string-conversion>) # CHECK(!"a sentence")
if(BODEGA_WERROR)
	add_compile_options(-Werror)
endif()

# Fault points (fail or cancel the Nth wait, crash at a named step) exist everywhere but in what ships.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
	add_compile_options(-fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2)
	if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
		add_compile_options(-fcf-protection)
	elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
		add_compile_options(-mbranch-protection=standard)
	endif()
	add_link_options(-Wl,-z,relro,-z,now -pie)
else()
	add_compile_definitions(BODEGA_FAULTS=1)
endif()

if(BODEGA_SANITIZE)
	add_compile_options(-fsanitize=${BODEGA_SANITIZE} -fno-sanitize-recover=all -Wno-frame-larger-than)
	add_link_options(-fsanitize=${BODEGA_SANITIZE})
endif()
if(BODEGA_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link) # libFuzzer is steered by what the libraries cover
endif()
if(BODEGA_COVERAGE)
	add_compile_options(--coverage -fprofile-update=atomic)
	add_link_options(--coverage)
endif()
