package servers

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// otherTest stands for a test of another name, whose end the real test decides.
type otherTest struct {
	testing.TB
	name     string
	cleanups []func()
}

func (o *otherTest) Name() string     { return o.name }
func (o *otherTest) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }
func (o *otherTest) Log(...any)       {}
func (o *otherTest) end() {
	for _, f := range o.cleanups {
		f()
	}
}

func TestATestThatIsAloneKeepsOthersOut(t *testing.T) {
	env := &Env{Dir: t.TempDir()}
	enter := func(test *otherTest, mode int) <-chan struct{} {
		entered := make(chan struct{})
		go func() {
			env.lockFor(test, mode)
			close(entered)
		}()
		return entered
	}
	isOut := func(entered <-chan struct{}) {
		t.Helper()
		select {
		case <-entered:
			t.Fatal("entered too early")
		case <-time.After(100 * time.Millisecond):
		}
	}
	first, second := &otherTest{TB: t, name: "TestFirst"}, &otherTest{TB: t, name: "TestSecond"}
	alone, late := &otherTest{TB: t, name: "TestAlone"}, &otherTest{TB: t, name: "TestLate"}
	<-enter(first, syscall.LOCK_SH)
	<-enter(second, syscall.LOCK_SH)
	<-enter(&otherTest{TB: t, name: "TestFirst/sub"}, syscall.LOCK_SH)
	aloneIn := enter(alone, syscall.LOCK_EX)
	isOut(aloneIn)
	lateIn := enter(late, syscall.LOCK_SH)
	isOut(lateIn) // it does not overtake the one that waits to be alone

	first.end()
	isOut(aloneIn)
	second.end()
	<-aloneIn
	isOut(lateIn)
	alone.end()
	<-lateIn
	late.end()
}

func TestUniqueNamesFitEverywhere(t *testing.T) {
	t.Run("With Blanks, ümlauts and a name that is longer than any database allows it to be", func(t *testing.T) {
		name := uniqueName(t)
		require.Regexp(t, `^[a-z]([a-z0-9-]*[a-z0-9])?$`, name)
		require.LessOrEqual(t, len(name), 40)
		require.NotEqual(t, name, uniqueName(t))
	})
}

// This one runs on the sandbox that the whole suite shares.
func TestRequire(t *testing.T) {
	env := Require(t, AllParts...)
	t.Run("each test has its own", func(t *testing.T) {
		require.NotEqual(t, env.ZooKeeper.Path(t), env.ZooKeeper.Path(t))
		require.NotEqual(t, env.Kafka.Topic(t, 1), env.Kafka.Topic(t, 1))
		require.NotEqual(t, env.Kubernetes.Namespace(t), env.Kubernetes.Namespace(t))
	})
	t.Run("a server of its own, beside the shared one", func(t *testing.T) {
		own := env.NewZooKeeper(t, 1)
		require.NotEqual(t, env.ZooKeeper.Connect, own.Connect)
		require.NoError(t, own.Stop())
		require.False(t, own.Servers[0].Running())
		require.True(t, env.ZooKeeper.Servers[0].Running())
		require.NoError(t, own.Start(t.Context()))
		require.Contains(t, strings.Join(own.Servers[0].Argv, " "), "QuorumPeerMain")
	})
}
