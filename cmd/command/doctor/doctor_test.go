package doctor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/cmd/command/doctor"
	"github.com/millrace/millrace/cmd/command/session"
)

// admin serves metrics like a broker's, and answers its host:port.
func admin(t *testing.T, metrics string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, metrics) })) //nolint:errcheck // the client sees it
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func open(t *testing.T) *session.Session {
	_, s := fake(t)
	return s
}

// fake is a cluster that a test may have answer otherwise.
func fake(t *testing.T) (*kfake.Cluster, *session.Session) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := session.Open(context.Background(), session.Options{Servers: strings.Join(c.ListenAddrs(), ","), Properties: session.Properties{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return c, s
}

const healthy = `millrace_build_info 1
# TYPE millrace_fsync_seconds histogram
millrace_fsync_seconds_bucket{le="0.001"} 98
millrace_fsync_seconds_bucket{le="0.004"} 100
millrace_fsync_seconds_bucket{le="+Inf"} 100
millrace_fsync_seconds_sum 0.1
millrace_fsync_seconds_count 100
`

// A journal that is damaged, or holds something back, is bad; one that is not there is no news.
func TestExamineJournal(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		file, text string
		want       string
	}{
		"none":    {"", "", ""},
		"unused":  {"0.journal", strings.Repeat("\x00", 65536), `^ok +journal of .*files: 1, 0 bytes of 0 files`},
		"damaged": {"0.journal", "MRJF" + strings.Repeat("x", 65532), `^BAD +journal of .*0\.journal: position 0: the header's checksum does not fit.*stop the broker`},
		"held":    {"held", strings.Repeat("x", 4096), `^BAD +journal of .*held: position 0: it does not begin as a block`},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if test.file != "" {
				for file, text := range map[string]string{"id": "4d696c6c726163652f6a6f75726e616c\n", test.file: test.text} {
					if err := errors.Join(os.MkdirAll(folder+"/journal", 0o755), os.WriteFile(folder+"/journal/"+file, []byte(text), 0o600)); err != nil {
						t.Fatal(err)
					}
				}
			}
			var out strings.Builder
			err := doctor.Examine(context.Background(), &out, s, nil, doctor.Options{Folder: folder})
			if (err != nil) != strings.HasPrefix(test.want, "^BAD") {
				t.Error(err)
			}
			if found := regexp.MustCompile(`(?m)` + test.want).MatchString(out.String()); !found || test.want == "" && strings.Contains(out.String(), "journal") {
				t.Errorf("no line matches %s in\n%s", test.want, out.String())
			}
		})
	}
}

func TestExamine(t *testing.T) {
	s := open(t)
	for name, test := range map[string]struct {
		session *session.Session
		refused error
		options doctor.Options
		bad     bool
		want    []string // patterns of lines
	}{
		"healthy":    {s, nil, doctor.Options{Admin: admin(t, healthy), Folder: t.TempDir()}, false, []string{`^ok +fsync +99 % of 100 took at most 4ms$`, `^ok +cluster .*brokers: 1, topics: 1`, `^ok +partitions`, `^(ok|warning) +disk of .*200 syncs of 4 KiB: p50 .*free`}},
		"nobody":     {nil, errors.New("no broker answers"), doctor.Options{}, true, []string{`^BAD +cluster +no broker answers$`}},
		"slow disk":  {s, nil, doctor.Options{Admin: admin(t, strings.ReplaceAll(healthy, `le="0.004"`, `le="0.1"`))}, false, []string{`^warning +fsync .*100ms; acknowledgements wait`}},
		"stopped":    {s, nil, doctor.Options{Admin: admin(t, healthy+`millrace_disk_stopped{folder="/mem/kfake",reason="fsync: I/O error"} 1`+"\n")}, true, []string{`^BAD +data folder .* was stopped: fsync: I/O error; mend the disk`, `^BAD +partitions +those in a data folder that was stopped`}},
		"other host": {s, nil, doctor.Options{Admin: admin(t, "up 1\n")}, false, []string{`^warning +metrics .*no metrics of Millrace`}},
		"no folder":  {s, nil, doctor.Options{Folder: "/does/not/exist"}, true, []string{`^BAD +disk of /does/not/exist .*no such file`}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := doctor.Examine(context.Background(), &out, test.session, test.refused, test.options)
			if (err != nil) != test.bad {
				t.Errorf("error %v", err)
			}
			for _, pattern := range test.want {
				if !regexp.MustCompile(`(?m)` + pattern).MatchString(out.String()) {
					t.Errorf("no line matches %s in\n%s", pattern, out.String())
				}
			}
		})
	}
}

// A folder that a broker is not told of in time is one whose disk does not answer.
func TestExamineAHungDisk(t *testing.T) {
	c, s := fake(t)
	c.ControlKey(int16(kmsg.DescribeLogDirs), func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		a := q.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		dir := kmsg.NewDescribeLogDirsResponseDir()
		dir.Dir, dir.ErrorCode = "/hung", kerr.RequestTimedOut.Code
		a.Dirs = append(a.Dirs, dir)
		return a, nil, true
	})
	var out strings.Builder
	if err := doctor.Examine(context.Background(), &out, s, nil, doctor.Options{}); err == nil {
		t.Error("nothing is bad")
	}
	if !regexp.MustCompile(`(?m)^BAD +data folder /hung of broker 0 +does not answer: `).MatchString(out.String()) {
		t.Errorf("the folder is not told of in\n%s", out.String())
	}
}
