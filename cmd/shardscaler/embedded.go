package main

import (
	_ "time/tzdata" // time zones by name

	_ "golang.org/x/crypto/x509roots/fallback" // authorities of certificates, as Mozilla has them
)

// The image has nothing but our programs. What they read of a system elsewhere is compiled in, and
// used where the system has none: a folder of certificates that is mounted replaces ours.
