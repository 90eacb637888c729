package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/go-zookeeper/zk"
)

// status is the content of `tmp/status` of an instance that acknowledges.
type status struct {
	Times     int64  `json:"times"`
	Pod       string `json:"pod"`
	Fences    bool   `json:"fences"`
	SessionMs int64  `json:"sessionMs"`
}

// ensureStatus makes the ephemeral status exist under this session, before anything is read.
func (in *instance) ensureStatus(ctx context.Context, conn *zk.Conn, get getter) error {
	if in.cfg.Mode == ModeLegacy {
		return nil
	}
	if err := in.paused.Pass(ctx); err != nil {
		return err
	}
	file := in.root + "/tmp/status"
	raw, stat, err := get(conn, file)
	switch {
	case errors.Is(err, zk.ErrNoNode):
		_, err = conn.Create(file, in.status(in.work.appliedTimes()), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		if err == nil {
			in.wake.Wake() // the next pass sets the watch on what now exists
			return nil
		}
		return fmt.Errorf("create status: %w", err)
	case err != nil:
		return fmt.Errorf("read status: %w", err)
	case stat.EphemeralOwner == conn.SessionID(), in.cfg.Mode == ModeImmediate:
		return nil
	}
	var left status
	if json.Unmarshal(raw, &left) != nil || left.Pod != in.uid {
		return errors.New("waits: the status is another's")
	}
	if err := conn.Delete(file, stat.Version); err != nil && !errors.Is(err, zk.ErrNoNode) {
		return fmt.Errorf("delete own leftover status: %w", err)
	}
	return errors.New("has deleted the status of its former session")
}

func (in *instance) acknowledge(conn *zk.Conn, times int64) error {
	if in.cfg.Mode != ModeAcknowledged {
		return nil
	}
	file := in.root + "/tmp/status"
	raw, stat, err := conn.Get(file)
	if err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	if stat.EphemeralOwner != conn.SessionID() {
		return errors.New("acknowledge: the status is not of this session")
	}
	want := in.status(times)
	if bytes.Equal(raw, want) {
		return nil
	}
	if _, err := conn.Set(file, want, stat.Version); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func (in *instance) status(times int64) []byte {
	if in.cfg.Mode != ModeAcknowledged {
		return nil
	}
	raw, err := json.Marshal(status{Times: times, Pod: in.uid, Fences: in.cfg.Fences, SessionMs: in.line.session().Milliseconds()})
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	return raw
}

func (in *instance) readList(conn *zk.Conn) ([]string, error) {
	raw, err := in.read(conn, "/resources", (*zk.Conn).Get)
	if err != nil {
		return nil, err
	}
	var list struct {
		IDs *[]any `json:"ids"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("read resources, what runs goes on: %w", err)
	}
	if list.IDs == nil {
		return nil, fmt.Errorf("read resources: no ids in %d bytes, what runs goes on", len(raw))
	}
	ids := make([]string, len(*list.IDs))
	for i, id := range *list.IDs {
		ids[i] = fmt.Sprint(id)
	}
	return ids, nil
}

type getter func(conn *zk.Conn, file string) ([]byte, *zk.Stat, error)

// getWatching sets a watch too, whose event wakes the instance.
func getWatching(conn *zk.Conn, file string) ([]byte, *zk.Stat, error) {
	raw, stat, _, err := conn.GetW(file)
	return raw, stat, err
}

func (in *instance) read(conn *zk.Conn, node string, get getter) ([]byte, error) {
	raw, _, err := get(conn, in.root+node)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(node), err)
	}
	return raw, nil
}
