/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"

#include "version_git.h" /* generated */

const char wherry_version[] = WHERRY_VERSION;
const char wherry_git[] = WHERRY_GIT;
