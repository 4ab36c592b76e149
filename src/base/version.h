/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The release ("0.1.0"), and what `git describe` said when it was built; the release again where
 * there was no repository. */
extern const char wherry_version[];
extern const char wherry_git[];
