package product

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Txn is one committed transaction of ZooKeeper's own log.
type Txn struct {
	Zxid    int64
	Session int64     // of the client that asked for it
	Time    time.Time // of the server that proposed it, to the millisecond
	Ops     []TxnOp
	Bytes   int // of its record in the log
}

// TxnOp is what one operation of a transaction did to a znode; a deletion or check has no Data.
type TxnOp struct {
	Path    string
	Data    []byte
	Deleted bool
	// Checked: it changed nothing, and demanded this Version. Of a set, Version is the new one; a
	// created znode has 0.
	Checked bool
	Version int32
	// Created, and Ephemeral: it goes with the session.
	Created, Ephemeral bool
}

// Types of transactions that change data, from ZooKeeper's ZooDefs.OpCode.
const (
	txnCreate          = 1
	txnDelete          = 2
	txnSetData         = 5
	txnCheck           = 13
	txnMulti           = 14
	txnCreate2         = 15
	txnCreateContainer = 19
	txnDeleteContainer = 20
	txnCreateTTL       = 21
	txnError           = -1
	txnCloseSession    = -11
)

const (
	logMagic    = 0x5A4B4C47 // "ZKLG"
	endOfRecord = 'B'
)

// ReadTxns reads the transaction log in a server's data folder, oldest first. The end of a log that
// is still being written is where it stops.
func ReadTxns(dataDir string) (all []Txn, err error) {
	err = WalkTxns(dataDir, func(t Txn) error {
		all = append(all, t)
		return nil
	})
	slices.SortFunc(all, func(a, b Txn) int { return cmp.Compare(a.Zxid, b.Zxid) })
	return all, err
}

// WalkTxns is ReadTxns for a log that is too long to be kept.
func WalkTxns(dataDir string, visit func(Txn) error) error {
	files, err := filepath.Glob(filepath.Join(dataDir, "version-2", "log.*"))
	if err != nil {
		return err
	}
	first := func(file string) uint64 { // the transaction that a log begins with is its name
		zxid, _ := strconv.ParseUint(strings.TrimPrefix(filepath.Ext(file), "."), 16, 64)
		return zxid
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(first(a), first(b)) })
	for _, file := range files {
		if err := walkTxnFile(file, visit); err != nil {
			return fmt.Errorf("read transaction log %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// Transactions reads the logs of all servers of the ensemble and returns what a majority of them
// has: a proposal that the others never saw is no transaction. While something is written, what a
// majority has is not all of it yet.
func (t *Tree) Transactions() ([]Txn, error) {
	seen := map[int64]int{}
	byZxid := map[int64]Txn{}
	for _, server := range t.ensemble.Servers {
		txns, err := ReadTxns(filepath.Join(server.WorkDir, "data"))
		if err != nil {
			return nil, err
		}
		for i, t := range txns {
			if i == 0 || txns[i-1].Zxid != t.Zxid {
				// a log that was cut off and written anew may repeat
				seen[t.Zxid]++
				byZxid[t.Zxid] = t
			}
		}
	}
	var common []Txn
	for _, zxid := range slices.Sorted(maps.Keys(seen)) {
		if 2*seen[zxid] > len(t.ensemble.Servers) {
			common = append(common, byZxid[zxid])
		}
	}
	return common, nil
}

func walkTxnFile(name string, visit func(Txn) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	var header struct {
		Magic, Version int32
		ID             int64
	}
	if err := binary.Read(in, binary.BigEndian, &header); err != nil || header.Magic != logMagic {
		return fmt.Errorf("it does not begin as one (%w)", err)
	}
	for {
		var record struct {
			CRC    int64
			Length int32
		}
		err := binary.Read(in, binary.BigEndian, &record)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || record.Length == 0 {
			return nil // the file is filled with zeros in advance
		}
		if err != nil {
			return err
		}
		body := make([]byte, int(record.Length)+1)
		if _, err := io.ReadFull(in, body); err != nil || body[record.Length] != endOfRecord {
			return nil // still being written
		}
		txn, err := decodeTxn(body[:record.Length])
		if err != nil {
			return err
		}
		txn.Bytes = binary.Size(record) + len(body)
		if err := visit(txn); err != nil {
			return err
		}
	}
}

// jute reads ZooKeeper's encoding; the first error stays.
type jute struct {
	in  *bytes.Reader
	err error
}

func (j *jute) read(into any) {
	if j.err == nil {
		j.err = binary.Read(j.in, binary.BigEndian, into)
	}
}

func (j *jute) int32() (v int32) { j.read(&v); return v }
func (j *jute) bool() (v bool)   { j.read(&v); return v }

func (j *jute) buffer() []byte {
	n := j.int32()
	if j.err != nil || n <= 0 {
		return []byte{}
	}
	if int(n) > j.in.Len() {
		j.err = io.ErrUnexpectedEOF
		return nil
	}
	b := make([]byte, n)
	j.read(b)
	return b
}

func decodeTxn(body []byte) (Txn, error) {
	j := &jute{in: bytes.NewReader(body)}
	var header struct {
		Session    int64
		XID        int32
		Zxid, Time int64
		Type       int32
	}
	j.read(&header)
	txn := Txn{Session: header.Session, Zxid: header.Zxid, Time: time.UnixMilli(header.Time), Ops: j.op(header.Type)}
	if j.err != nil {
		return Txn{}, fmt.Errorf("decode transaction 0x%x: %w", txn.Zxid, j.err)
	}
	return txn, nil
}

// multi reads the operations of a multi. One that failed is in the log with an error in place of
// the operation at fault, and changed nothing.
func (j *jute) multi() []TxnOp {
	var ops []TxnOp
	failed := false
	for n := j.int32(); n > 0 && j.err == nil; n-- {
		kind, data := j.int32(), j.buffer()
		part := &jute{in: bytes.NewReader(data), err: j.err}
		ops = append(ops, part.op(kind)...)
		j.err = part.err
		failed = failed || kind == txnError
	}
	if failed {
		return nil
	}
	return ops
}

// op reads one operation; what follows in it (a digest of the tree) is not needed.
func (j *jute) op(kind int32) []TxnOp {
	switch kind {
	case txnMulti:
		return j.multi()
	case txnCreate, txnCreate2, txnCreateContainer, txnCreateTTL:
		op := TxnOp{Path: string(j.buffer()), Data: j.buffer(), Created: true}
		for n := j.int32(); n > 0 && j.err == nil; n-- { // access list: permissions, scheme, id
			_, _, _ = j.int32(), j.buffer(), j.buffer()
		}
		if kind == txnCreate || kind == txnCreate2 {
			op.Ephemeral = j.bool()
		}
		return []TxnOp{op}
	case txnSetData:
		return []TxnOp{{Path: string(j.buffer()), Data: j.buffer(), Version: j.int32()}}
	case txnCheck:
		// the log has the one that a set would make
		return []TxnOp{{Path: string(j.buffer()), Version: j.int32() - 1, Checked: true}}
	case txnDelete, txnDeleteContainer:
		return []TxnOp{{Path: string(j.buffer()), Deleted: true}}
	case txnCloseSession:
		var ops []TxnOp
		if j.in.Len() > 0 {
			for n := j.int32(); n > 0 && j.err == nil; n-- {
				ops = append(ops, TxnOp{Path: string(j.buffer()), Deleted: true})
			}
		}
		return ops
	}
	return nil
}
