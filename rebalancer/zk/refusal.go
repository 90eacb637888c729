package zk

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// This file says what an error of a call means: refused, a znode had changed, or nothing is known.

// serverError is an error code in an answer of the server for which go-zookeeper has no name.
type serverError int32

// The codes that a server may give for what it does not do.
const (
	codeRequestTimeout serverError = -122 // nothing is known of it
	codeUnimplemented  serverError = -6
	codeAPIError       serverError = -100 // the codes above are troubles within the server, those below are refusals
)

var serverErrors = map[serverError]string{
	codeUnimplemented:  "operation not implemented",
	-119:               "state-changing request on a read-only server",
	codeRequestTimeout: "request timeout",
	-124:               "the server demands authentication by SASL",
	-125:               "quota exceeded",
	-127:               "request throttled",
}

func (e serverError) Error() string {
	return fmt.Sprintf("zk: %s (%d)", cmp.Or(serverErrors[e], "server error"), int32(e))
}

// refusal: what the server does not do it refuses by a code below that of API errors. Those above
// say that something went wrong within the server, which may have been after the write.
func (e serverError) refusal() bool {
	return e < codeAPIError && e != codeRequestTimeout || e == codeUnimplemented
}

// named gives an error of go-zookeeper that has no name, but a code in its text, a type.
func named(err error) error {
	if err == nil {
		return nil
	}
	text, ok := strings.CutPrefix(err.Error(), "unknown error: ")
	if code, parseErr := strconv.ParseInt(text, 10, 32); ok && parseErr == nil {
		return serverError(code)
	}
	return err
}

// conflicts are the answers that say that a znode is not as it was read.
var conflicts = []error{zk.ErrBadVersion, zk.ErrNoNode, zk.ErrNodeExists, zk.ErrNotEmpty, zk.ErrNoChildrenForEphemerals}

// refusals are the answers with a name that say that the server never does this as things stand.
var refusals = []error{zk.ErrNoAuth, zk.ErrInvalidACL, zk.ErrBadArguments, zk.ErrInvalidPath, zk.ErrReconfigDisabled}

func isConflict(err error) bool { return isAny(err, conflicts) }

func isRefusal(err error) bool {
	var code serverError
	return isAny(err, refusals) || errors.As(err, &code) && code.refusal()
}

func isAny(err error, kinds []error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// settledErrors are those that say already what has become of a call.
var settledErrors = []error{protocol.ErrUnavailable, protocol.ErrRefused, protocol.ErrConflict, protocol.ErrStopped}

// unavailable marks an error of a call as what it is: refused, or not answered.
func unavailable(err error) error {
	switch {
	case err == nil || isConflict(err) || isAny(err, settledErrors):
		return err
	case isRefusal(err):
		return fmt.Errorf("%w: %w", protocol.ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", protocol.ErrUnavailable, err)
}

// The rights that an access list may lack.
const (
	rightRead, rightWrite, rightCreate, rightDelete = "READ", "WRITE", "CREATE", "DELETE"
)

type missingRight struct{ right, path string }

func (e missingRight) Error() string { return fmt.Sprintf("%s is missing on %s", e.right, e.path) }

func (missingRight) Unwrap() []error { return []error{protocol.ErrDenied, zk.ErrNoAuth} }

// denied names the right that is missing, and the znode on which, if that is what an error says.
func denied(err error, right, path string) error {
	if !errors.Is(err, zk.ErrNoAuth) {
		return err
	}
	return missingRight{right, path}
}

// deniedOp is denied for an operation of a transaction: that may need a right on the parent.
func deniedOp(err error, op protocol.Op) error {
	switch op.Kind {
	case protocol.OpCreate:
		return denied(err, rightCreate, parent(op.Path))
	case protocol.OpDelete:
		return denied(err, rightDelete, parent(op.Path))
	case protocol.OpSet:
		return denied(err, rightWrite, op.Path)
	}
	return denied(err, rightRead, op.Path)
}

// parent of a path; that of a top one is "/".
func parent(path string) string { return cmp.Or(path[:strings.LastIndexByte(path, '/')], "/") }
