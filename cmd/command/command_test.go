package command

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/command/kafka"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
)

// tools is a command line with a broker of its own.
type tools struct {
	t       *testing.T
	address string
	admin   string // host:port of admin.listener; "": none
}

func newTools(t *testing.T) *tools {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "seeded"), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &tools{t: t, address: cluster.ListenAddrs()[0]}
}

// run is `millrace line`, connected to the broker.
func (s *tools) run(input, line string, more ...string) (out, errs string, code int) {
	s.t.Helper()
	var o, e bytes.Buffer
	args := append(append([]string{"millrace"}, strings.Fields(line)...), more...)
	s.t.Setenv(serverVariable, s.address)
	code = Run(s.t.Context(), args, session.Streams{In: strings.NewReader(input), Out: &o, Err: &e})
	return o.String(), e.String(), code
}

// expect runs a line that must succeed and print want.
func (s *tools) expect(want, input, line string, more ...string) {
	s.t.Helper()
	out, errs, code := s.run(input, line, more...)
	if out != want || code != 0 {
		s.t.Errorf("millrace %s %q\nprinted %q\nwant    %q\ncode %d, %s", line, more, out, want, code, errs)
	}
}

func TestTopicsProduceConsume(t *testing.T) {
	s := newTools(t)
	s.expect("Created topic orders.\n", "", "topics create orders --partitions 1 --config retention.ms=-1")
	s.expect("", "", "topics create orders --if-not-exists")
	s.expect("orders\nseeded\n", "", "topics list")
	s.expect("orders\n", "", "topics list ord.*")
	s.expect("", "k\tv\n\tnull\n", "produce orders --key --null null")
	s.expect("", "h:1\tkv\n", "produce orders --headers -z zstd -a 1")
	s.expect("k\tv\n\tnull\nnull\tkv\n", "", "consume orders -B -n 3 --print key")
	s.expect("Offset:2\th:1\tkv\n", "", "consume orders -p 0 -o 2 -n 1 --print offset,headers")
	s.expect("v\n", "", "consume --include or.+ -B -n 1 --read-committed")
	s.expect("v\n", "", "consume --topic orders --from-beginning --max-messages 1")
	s.expect("", "", "produce -t orders")
	s.expect("orders:0:3\n", "", "topics offsets orders")
	s.expect("orders:0:0\n", "", "topics offsets orders -t earliest --partitions 0")
	s.expect("", "", "topics alter orders --partitions 3")
	out, _, code := s.run("", "topics describe orders seeded")
	if code != 0 || !strings.Contains(out, "PartitionCount: 3") || !strings.Contains(out, "\tTopic: seeded\tPartition: 1\t") {
		t.Errorf("described %d %s", code, out)
	}
	s.expect("", "", "topics delete orders seeded")
	s.expect("\n", "", "topics list")
}

func TestGroups(t *testing.T) {
	s := newTools(t)
	s.expect("", "one\ntwo\n", "produce seeded -X partitioner.class=any -X linger.ms=0")
	s.expect("one\n", "", "consume seeded -B -g readers -n 1")
	s.expect("readers\n", "", "groups list")
	s.expect("GROUP                     TYPE                 STATE               \nreaders                   Classic              Empty               \n", "", "groups list --show-state --type classic")
	out, errs, code := s.run("", "groups describe readers")
	if code != 0 || !strings.Contains(out, "readers         seeded          ") || !strings.Contains(errs, "Consumer group 'readers' has no active members.") {
		t.Errorf("described %d %s %s", code, out, errs)
	}
	out, _, code = s.run("", "groups reset-offsets readers --topic seeded:1 --to-latest --execute --export")
	if code != 0 || !strings.HasPrefix(out, "seeded,1,") {
		t.Errorf("reset %d %s", code, out)
	}
	s.expect("Request succeeded for deleting offsets from group readers.\n\nTOPIC           PARTITION  STATUS         \nseeded          1          Successful     \n", "",
		"groups delete-offsets readers --topic seeded:1")
	s.expect("Deletion of requested consumer groups ('readers') was successful.\n", "", "groups delete --all-groups")
	if out, _, code := s.run("", "groups delete readers"); code != 1 || !strings.Contains(out, "could not be deleted") {
		t.Errorf("deleting twice: %d %s", code, out)
	}
}

func TestConfigsAndCluster(t *testing.T) {
	s := newTools(t)
	s.expect("Completed updating config for topic seeded.\n", "", "configs alter topic seeded --set cleanup.policy=compact,delete --set retention.ms=1000")
	out, _, code := s.run("", "configs describe topics seeded")
	if code != 0 || !strings.Contains(out, "  cleanup.policy=compact,delete sensitive=false") || !strings.Contains(out, "  retention.ms=1000 ") {
		t.Errorf("described %d %s", code, out)
	}
	s.expect("Completed updating config for topic seeded.\n", "", "configs alter topic seeded --unset retention.ms")
	s.expect("Completed updating config for client c.\n", "", "configs alter client c --set producer_byte_rate=1048576")
	s.expect("Quota configs for client-id 'c' are producer_byte_rate=1048576.0\n", "", "configs describe client c")
	s.expect("Completed updating config for user u.\n", "", "configs alter user u --set SCRAM-SHA-256=iterations=8192,password=p")
	s.expect("SCRAM credential configs for user-principal 'u' are SCRAM-SHA-256=iterations=8192\n", "", "configs describe user u")
	s.expect("Completed updating config for user u.\n", "", "configs alter user u --unset SCRAM-SHA-256")
	for line, want := range map[string]string{"cluster id": "Cluster ID: ", "cluster describe": "HOST", "cluster api-versions": "Produce"} {
		if out, errs, code := s.run("", line); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s %s", line, code, out, errs)
		}
	}
}

// What is wrong is said on standard error, with another code when the command line is
// to blame.
func TestMistakes(t *testing.T) {
	s := newTools(t)
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"topics create seeded":                    {1, "millrace: TOPIC_ALREADY_EXISTS: "},
		"topics describe none":                    {1, "millrace: Topic 'none' does not exist as expected"},
		"topics list --nonsense":                  {2, "unknown flag: --nonsense (try `millrace topics list --help`)"},
		"topics create":                           {2, "accepts 1 arg(s), received 0"},
		"topics list -b 127.0.0.1:1 --wait 100ms": {1, "no broker answers at 127.0.0.1:1 within 100ms"},
		"topics list -b nowhere":                  {1, "expected host:port"},
		"consume":                                 {2, "name one topic"},
		"produce":                                 {2, "name the topic to send to"},
		"produce seeded -t x":                     {2, "topic seeded or x? name one"},
		"consume seeded -o 1":                     {2, "--offset needs --partition"},
		"consume seeded -p 0 -o x":                {2, `offset "x"`},
		"produce seeded --reader-property key.separator=x --null x": {2, "null.marker and key.separator may not be equal"},
		"groups describe":                    {2, "name groups, or give --all-groups"},
		"groups describe none":               {1, "millrace: "},
		"groups reset-offsets g --to-latest": {2, "One of the reset scopes should be defined"},
		"configs describe nonsense":          {2, `"nonsense" has no settings`},
		"configs alter topic --set a=b":      {2, "name the topic to alter"},
		"configs alter topic seeded --set a": {2, "expected name=value"},
		"log dump /nonexistent":              {1, "look at /nonexistent"},
		"nonsense":                           {1, "unknown command"},
	} {
		out, errs, code := s.run("", line)
		if code != want.code || !strings.Contains(errs, want.text) || out != "" {
			t.Errorf("millrace %s: code %d, %q, %q; want %d, %q", line, code, out, errs, want.code, want.text)
		}
	}
}

// Names complete from the cluster.
func TestCompletion(t *testing.T) {
	s := newTools(t)
	s.expect("", "x\n", "produce seeded")
	s.expect("x\n", "", "consume seeded -B -n 1 -g readers")
	for line, want := range map[string]string{"topics describe se": "seeded", "groups describe re": "readers", "consume seeded -g r": "readers", "configs describe topic s": "seeded", "configs describe br": "broker"} {
		out, _, _ := s.run("", cobra.ShellCompNoDescRequestCmd+" "+line)
		if !slices.Contains(strings.Split(out, "\n"), want) {
			t.Errorf("%s completes to %q, want %s", line, out, want)
		}
	}
	if out, _, code := s.run("", "completion bash"); code != 0 || !strings.Contains(out, "__millrace") {
		t.Errorf("completion script: %d", code)
	}
}

// The links work: called by Kafka's name, with .sh or without, the program is the tool.
func TestLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	var out bytes.Buffer
	for range 2 { // links of its own are replaced
		out.Reset()
		if err := link(&out, "/opt/millrace", dir, false); err != nil {
			t.Fatal(err)
		}
	}
	target, err := os.Readlink(filepath.Join(dir, "kafka-consumer-groups.sh"))
	if err != nil || target != "/opt/millrace" || strings.Count(out.String(), "\n") != 2*len(kafka.Tools()) {
		t.Errorf("%s %v\n%s", target, err, out.String())
	}
	var version bytes.Buffer
	for _, args := range [][]string{{"/usr/bin/kafka-topics.sh", "--version"}, {"kafka-configs", "--version"}, {"millrace", "kafka-get-offsets", "--version"}} {
		version.Reset()
		if code := Run(t.Context(), args, session.Streams{Out: &version, Err: &version}); code != 0 || version.String() != "4.3.1\n" {
			t.Errorf("%v: %d %s", args, code, version.String())
		}
	}
	precious := filepath.Join(dir, "kafka-topics")
	if err := os.Remove(precious); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(precious, []byte("mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := link(&out, "/opt/millrace", dir, true); err == nil {
		t.Error("a file that is not a link was replaced")
	}
}

// Every command says what it is for.
func TestHelp(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(Root(t.Context(), session.Streams{}))
}
