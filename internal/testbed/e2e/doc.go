// Package e2e holds the end-to-end tests: the product as processes against real servers, judged by
// what Kubernetes and ZooKeeper hold and by what the workload's own log says, never by the
// product's logs.
//
// Each test has a namespace, a ZooKeeper root, topics and a database of its own, and a
// configuration with short timers. They run beside each other, but for those with the APIServices:
// the metrics API of a cluster has one provider, so that one of these runs at a time.
package e2e
