package catalog

import (
	"strings"
	"testing"
)

// Whatever stands in the file, it is refused or it is a database that can be opened; and no error
// gives the password away.
func FuzzDSN(f *testing.F) {
	for _, seed := range []string{
		"postgres://user:Pa55word@host:5432/db?sslmode=disable", "postgresql:///db", "mysql://user:Pa55word@host/db?parseTime=true",
		"mysql://user:se%40cret@[::1]:3306/db", "http://host", "", "://", "postgres://user:Pa55word@ho st/db", "mysql://u:Pa55word@/db?x=%zz", "mysql://u:Pa55word@h/db?x=1;y=2", "postgres://u:Pa55word@h/db?x=1&x=2#f", "\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDSN(text)
		if err != nil {
			if _, after, ok := strings.Cut(text, ":Pa55word@"); ok && after != "" && strings.Contains(err.Error(), "Pa55word") {
				t.Fatalf("the error shows the password: %v", err)
			}
			return
		}
		db, err := d.open()
		if err != nil {
			return // said at start, with the text of the driver
		}
		_ = db.Close()
	})
}
