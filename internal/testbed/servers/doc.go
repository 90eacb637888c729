// Package servers starts the real servers that shardscaler lives among, as plain processes on this
// machine: a Kubernetes control plane (kwokctl: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kwok, metrics-server), ZooKeeper, Kafka, an MQTT broker and PostgreSQL; and what
// a test prepares itself (NewServer).
//
// In: Options, and what Fetch built or downloaded once into the user's cache folder. Out: an Env,
// which is also what sandbox.json holds, so that a client in any language finds the servers.
// cmd/sandbox starts an Env; tests attach to it:
//
//	go run ./cmd/sandbox exec -- go test ./...         # everything, as make test does
//	go run ./cmd/sandbox exec --only zookeeper,kafka -- go test ./rebalancer/...
//
//	func TestX(t *testing.T) {
//		env := servers.Require(t, servers.PartZooKeeper)
//		conn := env.ZooKeeper.Dial(t)
//		root := env.ZooKeeper.Path(t) // this test's own
//		...
//	}
//
// All tests of a run share the servers, so each takes its own namespace, path, topic and database.
// A test that stops, kills or freezes a server takes one of its own (Env.NewZooKeeper and its like,
// which cost a second or two); for the control plane, of which there is one, it calls RequireAlone.
//
// Invariant: nothing that an Env started outlives the process that started it. Every process of a
// sandbox carries the sandbox's folder in its environment (proc.OwnerVar); a reaper process holds
// one end of a pipe to the starter and, when that end closes for whatever reason, kills everything
// that carries the folder and removes it. A folder whose starter and reaper were both killed is
// cleaned up by the next start. All ports are on loopback.
package servers
