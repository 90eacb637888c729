package idlist

// The usual form of a UUID (RFC 9562): 32 digits in lower case, in groups of 8, 4, 4, 4 and 12.
const (
	uuidBytes = 16
	uuidText  = 36
)

// pairs are where the two digits of each byte begin.
var pairs = [uuidBytes]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

const (
	digits = "0123456789abcdef"
	// noDigit is the value of what is none: no digit has a bit of it.
	noDigit = 0xf0
)

var values = func() (values [256]byte) {
	for i := range values {
		values[i] = noDigit
	}
	for i := range len(digits) {
		values[digits[i]] = byte(i)
	}
	return values
}()

// parseUUID reads an id that is one in its usual form, so that appendUUID writes it as it was.
func parseUUID(id string) (uuid [uuidBytes]byte, ok bool) {
	if len(id) != uuidText || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return uuid, false
	}
	all := byte(0)
	for i, at := range pairs {
		high, low := values[id[at]], values[id[at+1]]
		all |= high | low
		uuid[i] = high<<4 | low
	}
	return uuid, all&noDigit == 0
}

// appendUUID writes 16 bytes in the usual form.
func appendUUID(dst []byte, uuid string) []byte {
	dst = append(dst, "00000000-0000-0000-0000-000000000000"...)
	text := dst[len(dst)-uuidText:]
	for i, at := range pairs {
		pair := text[at : at+2 : at+2]
		pair[0], pair[1] = digits[uuid[i]>>4], digits[uuid[i]&0xf]
	}
	return dst
}
