package workload

import "log/slog"

// Solo is one instance without Kubernetes: a test says which pod it is, and when it hangs or ends.
type Solo struct{ in *instance }

// StartSolo starts the ordinal's process. cfg needs addresses and mode only; uid is its pod's.
func StartSolo(cfg Config, kind string, ordinal int, uid string, runs *RunLog, log *slog.Logger) *Solo {
	in := newInstance(identity{kind: Kind{Name: kind}, ordinal: ordinal, pod: uid, uid: uid}, cfg, runs, log)
	go in.run()
	return &Solo{in}
}

// Hang freezes the process as SIGSTOP would: what runs goes on, nothing else does until Resume.
func (s *Solo) Hang() { s.in.hang() }

// Stall keeps the process from applying and acknowledging anything until Resume; its session lives.
func (s *Solo) Stall() { s.in.stall() }

// Resume ends a hang and a stall.
func (s *Solo) Resume() { s.in.resume() }

// Kill ends the process at once; its session expires later.
func (s *Solo) Kill() {
	s.in.end("killed", false)
	<-s.in.done
}

// Stop ends the process and its session.
func (s *Solo) Stop() {
	s.in.end("stopped", true)
	<-s.in.done
}

// Count is the number of resources that run.
func (s *Solo) Count() int { return s.in.work.count() }
