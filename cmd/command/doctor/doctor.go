// Package doctor looks for what ails a cluster and the machine it runs on, and says what
// to do about it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/cmd/command/session"
)

// Options say what is looked at besides the cluster.
type Options struct {
	Admin  string // host:port of a Millrace broker's admin.listener; empty: nobody is asked
	Folder string // a disk that is measured by writing to it; empty: none
}

// verdict is how bad something is.
type verdict string

const (
	fine    verdict = "ok"
	warning verdict = "warning"
	bad     verdict = "BAD"
)

// finding is one line of the report. What is not fine says what to do about it.
type finding struct {
	verdict verdict
	what    string
	detail  string
}

// report gathers findings.
type report struct{ findings []finding }

func (r *report) add(v verdict, what, format string, args ...any) {
	r.findings = append(r.findings, finding{v, what, fmt.Sprintf(format, args...)})
}

// Examine prints what it finds, and fails when something is bad. No session means that no
// broker answered, and refused why.
func Examine(ctx context.Context, out io.Writer, s *session.Session, refused error, o Options) error {
	var r report
	reasons := r.metrics(ctx, o.Admin)
	if s == nil {
		r.add(bad, "cluster", "%v", refused)
	} else {
		r.cluster(ctx, s, reasons)
	}
	r.machine()
	if o.Folder != "" {
		r.disk(o.Folder)
		r.journal(o.Folder)
	}
	return r.print(out)
}

func (r *report) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	count := 0
	for _, f := range r.findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.verdict, f.what, f.detail)
		if f.verdict == bad {
			count++
		}
	}
	table.Flush()
	if count > 0 {
		return fmt.Errorf("%d of %d checks found something bad", count, len(r.findings))
	}
	return nil
}

// cluster asks the brokers for partitions without a leader, and for their data folders.
func (r *report) cluster(ctx context.Context, s *session.Session, reasons map[string]string) {
	metadata, err := s.Admin.Metadata(ctx)
	if err != nil {
		r.add(bad, "cluster", "cannot be described: %v", err)
		return
	}
	r.add(fine, "cluster", "%s, brokers: %d, topics: %d", metadata.Cluster, len(metadata.Brokers), len(metadata.Topics))
	var offline []string
	for _, t := range metadata.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			if p.Leader < 0 || p.Err != nil {
				offline = append(offline, fmt.Sprintf("%s-%d", t.Topic, p.Partition))
			}
		}
	}
	switch {
	case len(offline) > 0:
		r.add(bad, "partitions", "%d cannot be written to: %s; their disk was stopped, or is not in log.dirs", len(offline), first(offline, 5))
	case len(reasons) > 0: // their leaders are there, and refuse
		r.add(bad, "partitions", "those in a data folder that was stopped cannot be written to")
	default:
		r.add(fine, "partitions", "all of them can be written to")
	}
	all, err := s.Admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		r.add(bad, "data folders", "cannot be described: %v", err)
		return
	}
	for _, dirs := range all.Sorted() {
		r.folder(dirs, reasons)
	}
}

// folder judges one data folder of one broker.
func (r *report) folder(d kadm.DescribedLogDir, reasons map[string]string) {
	what := fmt.Sprintf("data folder %s of broker %d", d.Dir, d.Broker)
	switch reason := reasons[d.Dir]; {
	case reason != "":
		r.add(bad, what, "was stopped: %s; mend the disk and start the broker again", reason)
	case errors.Is(d.Err, kerr.RequestTimedOut):
		r.add(bad, what, "does not answer: what is written there waits, and those who sent it; see what the system says of the disk (dmesg, iostat), and start the broker again once it is mended")
	case d.Err != nil:
		r.add(bad, what, "%v; the reason is in the broker's log and in its /metrics (--admin)", d.Err)
	default:
		partitions := 0
		d.Topics.Each(func(kadm.DescribedLogDirPartition) { partitions++ })
		r.add(fine, what, "partitions: %d, %s", partitions, bytes(d.Size()))
	}
}

// first joins the first few of many names.
func first(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return strings.Join(slices.Concat(names[:n], []string{"…"}), ", ")
}

func bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, "kMGT"
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, names[0])
}
