package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/httpcall"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// prometheus is a real Prometheus that scrapes the replicas of a world and evaluates our rules.
type prometheus struct {
	w      *world
	server *servers.Server
	began  time.Time
	raised map[string]bool // alerts that a fault has raised
}

// The rules wait for minutes, and this test has seconds: every time in them is divided by this.
const hurry = 60

var (
	ruleTimes = regexp.MustCompile(`(for: |\[)(\d+)m\b`)
	ruleAges  = regexp.MustCompile(`(_seconds(?:\{[^}]*\})?\) > )(\d+)`)
)

// hurried is the text of rules with each time divided: of a for and of a range, and ages in seconds.
func hurried(t *testing.T, rules string) string {
	times, ages := 0, 0
	rules = ruleTimes.ReplaceAllStringFunc(rules, func(text string) string {
		times++
		m := ruleTimes.FindStringSubmatch(text)
		minutes, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		return fmt.Sprintf("%s%ds", m[1], minutes*60/hurry)
	})
	rules = ruleAges.ReplaceAllStringFunc(rules, func(text string) string {
		ages++
		m := ruleAges.FindStringSubmatch(text)
		seconds, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		return fmt.Sprintf("%s%d", m[1], max(5, seconds/hurry))
	})
	require.Equal(t, strings.Count(rules, "for: ")+1, times, "each alert has a for, and one rule a range")
	require.Equal(t, 2, ages)
	t.Logf("every time in the rules is divided by %d; no age is below 5 s", hurry)
	return rules
}

func startPrometheus(w *world) *prometheus {
	w.t.Helper()
	root, err := servers.ModuleRoot()
	require.NoError(w.t, err)
	text, err := os.ReadFile(filepath.Join(root, "dashboards", "shardscaler.rules.yml"))
	require.NoError(w.t, err)
	rules := hurried(w.t, string(text))
	var targets []string
	for _, v := range w.Servers {
		targets = append(targets, strconv.Quote(v.Addr))
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
- job_name: shardscaler
  static_configs:
  - targets: [%s]
`, strings.Join(targets, ", "))
	program := servers.Prometheus(w.t, "prometheus")
	server := w.Env.NewServer(w.t, func(s *servers.Server) error {
		for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
			if err := os.WriteFile(filepath.Join(s.WorkDir, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		s.Argv = []string{program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=" + s.Addr}
		s.Answers = func(ctx context.Context, addr string) error {
			_, err := httpcall.Do(ctx, httpcall.Once, http.MethodGet, "http://"+addr+"/-/ready", "", nil)
			return err
		}
		return nil
	})
	p := &prometheus{w, server, time.Now(), map[string]bool{}}
	w.until("Prometheus has scraped", func(ctx context.Context) error {
		n, err := p.samples(ctx, "shardscaler_leading == 1")
		if err == nil && n == 0 {
			err = errors.New("it has not")
		}
		return err
	})
	return p
}

// ask asks Prometheus's API.
func (p *prometheus) ask(ctx context.Context, path string, parameters url.Values, data any) error {
	raw, err := httpcall.Do(ctx, httpcall.Once, http.MethodGet, "http://"+p.server.Addr+"/api/v1/"+path+"?"+parameters.Encode(), "", nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, &struct{ Data any }{data})
}

// samples is how many numbers a query has returned for the time since Prometheus began.
func (p *prometheus) samples(ctx context.Context, query string) (n int, err error) {
	var data struct {
		Result []struct{ Values [][2]any }
	}
	err = p.ask(ctx, "query_range", url.Values{
		"query": {query}, "step": {"1s"}, "start": {seconds(p.began)}, "end": {seconds(time.Now())},
	}, &data)
	for _, series := range data.Result {
		for _, v := range series.Values {
			if v[1] != "NaN" {
				n++
			}
		}
	}
	return n, err
}

func seconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// alarm is an alert that a fault is to raise, with some of its labels.
type alarm struct {
	name   string
	labels map[string]string
}

// firing lists which of these alerts fire, as name and labels.
func (p *prometheus) firing(ctx context.Context) (map[string][]map[string]string, error) {
	var data struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	if err := p.ask(ctx, "alerts", nil, &data); err != nil {
		return nil, err
	}
	firing := map[string][]map[string]string{}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = append(firing[a.Labels["alertname"]], a.Labels)
		}
	}
	return firing, nil
}

// fires is an error unless the alert fires.
func (p *prometheus) fires(ctx context.Context, want alarm) error {
	firing, err := p.firing(ctx)
	if err != nil {
		return err
	}
	for _, labels := range firing[want.name] {
		have := maps.Clone(labels)
		maps.Copy(have, want.labels)
		if maps.Equal(have, labels) {
			return nil
		}
	}
	return fmt.Errorf("%s %v does not fire, but %v", want.name, want.labels, firing)
}

// raises brings a fault about, and waits until its alerts fire, none of which fired before.
func (p *prometheus) raises(what string, fault func(), alarms ...alarm) {
	p.w.t.Helper()
	p.doesNotFire(alarms...)
	fault()
	p.awaits(what, alarms...)
}

func (p *prometheus) doesNotFire(alarms ...alarm) {
	p.w.t.Helper()
	for _, a := range alarms {
		require.ErrorContains(p.w.t, p.fires(p.w.t.Context(), a), "does not fire")
	}
}

// awaits waits until alerts fire, and notes that a fault has raised them.
func (p *prometheus) awaits(what string, alarms ...alarm) {
	p.w.t.Helper()
	for _, a := range alarms {
		p.w.until(what+": "+a.name+" fires", func(ctx context.Context) error { return p.fires(ctx, a) })
		p.raised[a.name] = true
	}
}

// ends waits until alerts of these names fire no more.
func (p *prometheus) ends(names ...string) {
	p.w.t.Helper()
	for _, name := range names {
		p.w.until(name+" ends", func(ctx context.Context) error {
			firing, err := p.firing(ctx)
			if err == nil && len(firing[name]) > 0 {
				err = fmt.Errorf("%v", firing[name])
			}
			return err
		})
	}
}
