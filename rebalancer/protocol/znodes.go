package protocol

import (
	"errors"
	"fmt"
	"time"
)

// Stat is what ZooKeeper tells of a znode beside its data.
type Stat struct {
	Version           int32
	Zxid              int64     // of the transaction that last wrote its data
	Bytes             int       // of its data
	Created, Modified time.Time // by ZooKeeper's clock
	Ephemeral         bool      // it ends with the session that made it
	// Children is how many znodes are below it, ChildChanges how often one came or went. Znodes.Children
	// tells these two, and may leave out the rest; Stat and Get tell the rest, and may leave out these.
	Children, ChildChanges int32
}

// known is what is known of the znode then.
func (s *Stat) known() known { return known{s.Version, s.Bytes, s.Zxid} }

// isNew says that a znode has never been written since it was made without data.
func (s *Stat) isNew() bool { return s.Version == 0 && s.Bytes == 0 }

// Znode is a znode as it was read. Data is nil where it is longer than maxZnode.
type Znode struct {
	Stat
	Data []byte
}

// maxZnode is the server's limit. What is longer came past it, and is not fetched.
const maxZnode = 1 << 20

// tooLong says why the data was not fetched.
func (z *Znode) tooLong() error {
	if z.Bytes > maxZnode {
		return fmt.Errorf("%d bytes, at most %d", z.Bytes, maxZnode)
	}
	return nil
}

// ErrDenied says that what is asked for may not be read or written. Nothing was written.
var ErrDenied = errors.New("a right is missing")

// Znodes is ZooKeeper as a reading sees it: a session, or memory. ErrDenied: it may not be read.
//
// With watch, the next change is notified; what is notified of need not be asked for again, be that
// with watch or not. The Stats are read only.
type Znodes interface {
	// Stat asks for a znode without its data; nil: none. With watch, its coming is notified, too.
	Stat(path string, watch bool) (*Stat, error)
	// Get fetches a znode; nil: there is none, and nothing is notified.
	Get(path string, watch bool) (*Znode, error)
	// Children lists the names of the znodes below one, and its Stat; none and nil where there is
	// no such znode. The change that is notified is that one is made or deleted.
	Children(path string, watch bool) ([]string, *Stat, error)
	// Each calls every function, several at once if it can, and returns the first error.
	Each(reads []func(Znodes) error) error
}

// known is what a State holds of a znode.
type known struct {
	Version int32 // -1 where there is none
	bytes   int   // the length of its data; -1: not known
	// zxid, here and elsewhere, is the number of the transaction that last wrote the znode, 0 if
	// the server did not tell of ours. It differs where a znode was deleted and created again.
	zxid int64
}

// unknown is a znode of which nothing is known.
var unknown = known{Version: -1}

func (k *known) own() *known { return k }

// is says that the znode is the one known. Without the transaction's number, version and length are
// enough, because no other client writes under our head.
func (k known) is(stat *Stat) bool {
	if k.zxid != 0 {
		return k.zxid == stat.Zxid
	}
	return k.Version == stat.Version && (k.bytes < 0 || k.bytes == stat.Bytes)
}
