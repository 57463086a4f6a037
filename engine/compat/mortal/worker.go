package mortal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/compat/broker"
)

// A worker is a process of Connect.
type worker struct {
	*program
	address string // of its REST interface
}

// worker makes a worker of one of Connect's two programs. Each setting is a line of its configuration; more are the files
// of connectors.
func (s *stage) worker(name, class string, settings []string, more ...string) (*worker, error) {
	address, err := broker.FreeAddress()
	if err != nil {
		return nil, err
	}
	settings = append(s.proof("", "producer.", "consumer.", "admin."), settings...)
	settings = append([]string{
		"bootstrap.servers=" + s.address(), "listeners=http://" + address, "rest.advertised.host.name=127.0.0.1", "plugin.discovery=service_load",
		"key.converter=org.apache.kafka.connect.storage.StringConverter", "value.converter=org.apache.kafka.connect.storage.StringConverter",
		"offset.flush.interval.ms=500",
	}, settings...)
	file := filepath.Join(s.dir, name+".properties")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("configure worker %s: %w", name, err)
	}
	return &worker{s.java(name, class, append([]string{file}, more...)...), address}, nil
}

// ask sends a request to the worker's REST interface and reads the answer into reply.
func (w *worker) ask(ctx context.Context, method, path string, body, reply any) error {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	q, err := http.NewRequestWithContext(ctx, method, "http://"+w.address+path, &text)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	said, err := io.ReadAll(a.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if a.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, a.Status, said)
	}
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(said, reply); err != nil {
		return fmt.Errorf("%s %s: %w in %s", method, path, err, said)
	}
	return nil
}

// A status is what the REST interface says of a connector.
type status struct {
	Connector place   `json:"connector"`
	Tasks     []place `json:"tasks"`
}

// A place is where a connector or task runs.
type place struct {
	State  string `json:"state"`
	Worker string `json:"worker_id"`
	Trace  string `json:"trace"`
}

// running answers which worker runs the task of a connector; it is an error when none does, or one that is not expected.
func (w *worker) running(ctx context.Context, connector string, expected ...*worker) (*worker, error) {
	var s status
	if err := w.ask(ctx, http.MethodGet, "/connectors/"+connector+"/status", nil, &s); err != nil {
		return nil, err
	}
	if s.Connector.State != "RUNNING" || len(s.Tasks) != 1 || s.Tasks[0].State != "RUNNING" {
		return nil, fmt.Errorf("connector %s is %+v", connector, s)
	}
	at := slices.IndexFunc(expected, func(e *worker) bool { return e.address == s.Tasks[0].Worker })
	if at < 0 {
		return nil, errors.New("connector " + connector + " runs on a strange worker, " + s.Tasks[0].Worker)
	}
	return expected[at], nil
}
