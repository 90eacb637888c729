package idlist

import "encoding/binary"

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
	putUUID(dst[len(dst)-uuidText:], uuid)
	return dst
}

// putUUID writes the digits of 16 bytes in between the dashes, eight at a time.
func putUUID(text []byte, uuid string) {
	_, _ = text[uuidText-1], uuid[uuidBytes-1]
	put := binary.BigEndian
	put.PutUint64(text, hexOf(uuid[:4]))
	second, third := hexOf(uuid[4:8]), hexOf(uuid[8:12])
	put.PutUint32(text[9:], uint32(second>>32))
	put.PutUint32(text[14:], uint32(second))
	put.PutUint32(text[19:], uint32(third>>32))
	put.PutUint32(text[24:], uint32(third))
	put.PutUint64(text[28:], hexOf(uuid[12:16]))
}

// hexOf are the eight digits of four bytes, the first digit in the highest byte: it moves each half
// of a byte into a byte of its own, and adds what makes a digit of it.
func hexOf(four string) uint64 {
	const ones = 0x0101010101010101
	v := uint64(four[0])<<24 | uint64(four[1])<<16 | uint64(four[2])<<8 | uint64(four[3])
	v = (v | v<<16) & 0x0000ffff0000ffff
	v = (v | v<<8) & 0x00ff00ff00ff00ff
	v = (v | v<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (v + 6*ones) >> 4 & ones // 1 where it is more than 9
	return v + '0'*ones + letters*('a'-'0'-10)
}
