package protocol

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// nothing is an ordinal of which no znode is known.
func nothing(n int) *Instance {
	return &Instance{
		Ordinal: n, Used: -1, Capacity: -1, Times: -1,
		DataVersion: -1, ListVersion: -1, ReloadVersion: -1, statusVersion: -1, tmpVersion: -1,
	}
}

// instanceReading reads the parts of one instance into in.
type instanceReading struct {
	znodes Znodes
	kind   string
	n      int
	was    *Instance
	in     Instance
	// fault says what beside the list may not be read; newReload: `_reload` was never written.
	fault     string
	newReload bool
	// differs: a znode is not as was. numbered: only a transaction's number became known.
	differs, numbered bool
}

// readOrdinal reads the instance of that name; a name that is no ordinal is another program's.
func (r *reading) readOrdinal(znodes Znodes, name string) error {
	n, err := exact.Ordinal(name)
	if err != nil {
		return nil
	}
	return r.readInstance(znodes, n)
}

// readInstance reads one ordinal's subtree, first the list.
func (r *reading) readInstance(znodes Znodes, n int) error {
	was, isKnown := r.prev.Instances[n]
	if !isKnown {
		was = nothing(n)
	}
	i := &instanceReading{znodes: znodes, kind: r.kind, n: n, was: was, in: *was, differs: !isKnown}
	for _, read := range []func() error{i.readList, i.readData, i.readReload, i.readStatus} {
		if err := read(); err != nil {
			return err
		}
	}
	i.in.Fault = cmp.Or(i.in.listFault, i.fault)
	i.in.Begun = i.in.Fault == "" && (i.in.newList || i.newReload && i.in.IDs.Len() == 0)
	differs := i.differs || i.in.Fault != was.Fault || i.in.Begun != was.Begun ||
		i.in.Hidden != was.Hidden || i.in.HasTmp != was.HasTmp
	if differs || i.numbered {
		// a copy: a pointer into i would keep the reading, and by it every State before, alive
		in := i.in
		was = &in
	}
	r.store(differs, func(s *State) { s.Instances[n] = was })
	return nil
}

// readSmall is readZnode of one that most likely is there: one request instead of two.
func (i *instanceReading) readSmall(path string, was known) (stat *Stat, got *Znode, err error) {
	if was.Version >= 0 {
		return i.readZnode(path, was)
	}
	if got, err = i.znodes.Get(path, true); got == nil || err != nil {
		return nil, nil, err
	}
	i.differs = true
	return &got.Stat, got, nil
}

func (i *instanceReading) readZnode(path string, was known) (stat *Stat, got *Znode, err error) {
	stat, got, err = readZnode(i.znodes, path, true, was)
	switch {
	case err != nil:
	case stat == nil:
		i.differs = i.differs || was.Version >= 0
	case got == nil:
		i.numbered = i.numbered || was.zxid != stat.Zxid
	default:
		i.differs = true
	}
	return stat, got, err
}

// denied takes an error that a right is missing for a fault, which stops the kind: the list of an
// instance of which something may not be read cannot be changed. It returns any other error.
func (i *instanceReading) denied(err error) error {
	if !errors.Is(err, ErrDenied) {
		return err
	}
	i.fault = cmp.Or(i.fault, err.Error())
	return nil
}

func (i *instanceReading) readData() error {
	stat, got, err := i.readSmall(InstancePath(i.kind, i.n), known{i.was.DataVersion, -1, i.was.dataZxid})
	switch {
	case err != nil:
		return i.denied(err)
	case stat == nil:
		return errDeleted
	}
	i.in.DataVersion, i.in.dataZxid = stat.Version, stat.Zxid
	if got != nil {
		i.in.Used, i.in.Capacity = DecodeData(got.Data)
	}
	return nil
}

func (i *instanceReading) readReload() error {
	stat, got, err := i.readSmall(ReloadPath(i.kind, i.n), known{i.was.ReloadVersion, -1, i.was.reloadZxid})
	switch {
	case err != nil:
		return i.denied(err)
	case stat == nil:
		i.in.ReloadVersion, i.in.reloadZxid, i.in.Times = -1, 0, -1
		return nil
	}
	i.in.ReloadVersion, i.in.reloadZxid, i.newReload = stat.Version, stat.Zxid, stat.isNew()
	if got != nil {
		i.in.Times = DecodeReload(got.Data)
		i.in.highest = max(i.in.highest, i.in.Times)
	}
	return nil
}

// readList keeps the ids last known where the list cannot be read.
func (i *instanceReading) readList() error {
	path := ResourcesPath(i.kind, i.n)
	stat, got, err := i.readZnode(path, known{i.was.ListVersion, i.was.Bytes, i.was.listZxid})
	switch {
	case errors.Is(err, ErrDenied):
		i.in.listFault, i.in.newList = err.Error(), false
		return nil
	case err != nil:
		return err
	case stat == nil:
		i.in.ListVersion, i.in.listZxid = -1, 0
		return i.unwritten(path+": is missing", nil)
	}
	i.in.ListVersion, i.in.listZxid = stat.Version, stat.Zxid
	if got == nil {
		return nil
	}
	i.in.Bytes, i.in.Changed, i.in.listFault, i.in.newList = stat.Bytes, stat.Modified, "", false
	err = got.tooLong()
	var ids IDs
	if err == nil {
		ids, err = DecodeIDs(got.Data)
	}
	if err != nil {
		return i.unwritten(path+": "+err.Error(), stat)
	}
	i.in.IDs = ids
	return nil
}

// unwritten takes a list that is not there (stat nil), or has no data, for that of an ordinal which
// another client has begun to make, if it was never written: protocol rule 11. Else it may have
// held any id, and fault stops the kind.
func (i *instanceReading) unwritten(fault string, list *Stat) error {
	begun := i.was.IDs.Len() == 0 && (list == nil || list.isNew())
	if begun {
		names, ordinal, err := i.znodes.Children(InstancePath(i.kind, i.n), false)
		if err != nil {
			return i.denied(err)
		}
		begun = ordinal != nil && ordinal.ChildChanges == ordinal.Children // none was ever deleted
		if begun && list == nil && slices.Contains(names, "resources") {
			return errDeleted // it has come since
		}
	}
	if i.in.newList = begun; begun {
		i.in.IDs, i.in.Bytes, fault = IDs{}, 0, ""
	}
	i.in.listFault = fault
	return nil
}

// readStatus takes a status for one only if it is ephemeral: a leftover says nothing.
func (i *instanceReading) readStatus() error {
	path := StatusPath(i.kind, i.n)
	stat, got, err := i.readZnode(path, known{i.was.statusVersion, -1, i.was.statusZxid})
	i.in.Hidden = errors.Is(err, ErrDenied)
	if err != nil && !i.in.Hidden {
		return err
	}
	if stat == nil {
		i.in.Status, i.in.StatusFault, i.in.Live, i.in.LiveSince = nil, "", false, time.Time{}
		i.in.statusVersion, i.in.statusZxid = -1, 0
		if i.in.Hidden {
			i.in.StatusFault = "may not be read: READ is missing on " + path
		}
		return i.readTmp()
	}
	i.in.statusVersion, i.in.statusZxid = stat.Version, stat.Zxid
	i.in.Live, i.in.LiveSince = stat.Ephemeral, time.Time{}
	if i.in.Live {
		i.in.LiveSince = stat.Created
	}
	if got != nil {
		i.in.Status, i.in.StatusFault = statusOf(got)
	}
	if !i.in.HasTmp {
		return i.readTmp()
	}
	return nil
}

// statusOf takes a znode for a status, or says why it is none.
func statusOf(got *Znode) (s *Status, fault string) {
	if !got.Ephemeral {
		return nil, "is persistent"
	}
	if err := got.tooLong(); err != nil {
		return nil, "is present and too long: " + err.Error()
	}
	var other struct {
		Times json.RawMessage `json:"times"`
	}
	switch s = decodeStatus(got.Data); {
	case s != nil:
		return s, ""
	case len(got.Data) == 0:
		return nil, "is present and empty"
	case exact.JSON(got.Data, &other) == nil && other.Times == nil:
		return nil, "is present and carries no times"
	}
	return nil, "is present and unreadable"
}

// readTmp asks for `tmp`. That it may not be read does no harm: there is nothing in it.
func (i *instanceReading) readTmp() error {
	stat, err := i.znodes.Stat(TmpPath(i.kind, i.n), true)
	if err != nil && !errors.Is(err, ErrDenied) {
		return err
	}
	i.in.HasTmp, i.in.tmpVersion = stat != nil || err != nil, -1
	if stat != nil {
		i.in.tmpVersion = stat.Version
	}
	return nil
}
