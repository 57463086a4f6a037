package kafka

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The conversations in testdata/tools hold what Apache Kafka 4.3.1's own tools print,
// byte for byte but for ids and times. They are run in three ways:
//
//	go test ./cmd/command/kafka                               our tools, kfake as the broker
//	MILLRACE_COMPAT_BOOTSTRAP=host:port go test …             our tools, that broker
//	… MILLRACE_COMPAT_TOOLS=/opt/kafka/bin go test …          Kafka's tools, that broker
//
// Only the last way may write them, with -rewrite and a real Kafka as the broker: when
// it and the one before it both pass, ours and Kafka's print the same. Say with
// MILLRACE_COMPAT_BROKER=apache that the broker is Apache Kafka: then steps run too that
// show what only that has.
const (
	bootstrapVariable = "MILLRACE_COMPAT_BOOTSTRAP"
	toolsVariable     = "MILLRACE_COMPAT_TOOLS"
	brokerVariable    = "MILLRACE_COMPAT_BROKER"
)

// placeholder stands in the conversations for the beginning of names, which differs
// from run to run and always is as long, so that columns stay where they are.
const placeholder = "xxxxxx"

// stage is where a conversation takes place.
type stage struct {
	bootstrap string
	tools     string // a folder with Kafka's own; "": ours
	prefix    string
	fake      bool
	apache    bool
	dir       string // for files; its name is written DIR in conversations
	members   map[string]func()
}

func TestTools(t *testing.T) {
	datadriven.Walk(t, "testdata/tools", func(t *testing.T, path string) {
		s := newStage(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if s.fake && d.HasArg("real-broker") || !s.apache && d.HasArg("apache") {
				return d.Expected
			}
			switch d.Cmd {
			case "run":
				return s.run(t, d)
			case "join":
				return s.join(t, d)
			case "leave":
				return s.leave(t, d)
			case "file":
				return s.file(t, d)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func newStage(t *testing.T) *stage {
	s := &stage{bootstrap: os.Getenv(bootstrapVariable), tools: os.Getenv(toolsVariable), dir: t.TempDir(), members: map[string]func(){},
		prefix: fmt.Sprintf("t%05d", rand.IntN(100000))}
	if s.bootstrap == "" {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1),
			kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		s.bootstrap, s.fake, s.tools = cluster.ListenAddrs()[0], true, ""
	}
	if rewrite := flag.Lookup("rewrite"); rewrite != nil && rewrite.Value.String() == "true" && s.tools == "" {
		t.Fatalf("only Kafka's own tools may write what they print: set $%s and $%s", bootstrapVariable, toolsVariable)
	}
	s.apache = s.tools != "" || os.Getenv(brokerVariable) == "apache"
	t.Cleanup(func() {
		for _, leave := range s.members {
			leave()
		}
	})
	return s
}

// file writes a file that later commands may name as DIR/name.
func (s *stage) file(t *testing.T, d *datadriven.TestData) string {
	var name string
	d.ScanArgs(t, "name", &name)
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.concrete(d.Input)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return ""
}

func (s *stage) concrete(text string) string {
	return strings.NewReplacer(placeholder, s.prefix, "DIR/", s.dir+"/").Replace(text)
}

// run runs a tool. The first line is its command line, the others are its input.
//
//	bare         no --bootstrap-server is added
//	err          what it prints on standard error is shown too
//	numbers      the digits of numbers do not matter
//	any-order    the order of rows does not matter: Kafka's is that of a hash table
//	real-broker  kfake answers otherwise than Kafka does
//	apache       it shows what only Apache Kafka has
func (s *stage) run(t *testing.T, d *datadriven.TestData) string {
	line, input, _ := strings.Cut(s.concrete(d.Input), "\n")
	args := words(line)
	if !d.HasArg("bare") {
		args = slices.Insert(args, 1, "--bootstrap-server", s.bootstrap)
	}
	if input != "" {
		input += "\n"
	}
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := 0
	if s.tools == "" {
		tool, ok := Lookup(args[0])
		if !ok {
			t.Fatalf("%s: no tool %s", d.Pos, args[0])
		}
		code = tool.Run(ctx, session.Streams{In: strings.NewReader(input), Out: &out, Err: &errs}, args[1:])
	} else {
		cmd := exec.CommandContext(ctx, filepath.Join(s.tools, args[0]+".sh"), args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
		var exit *exec.ExitError
		if err := cmd.Run(); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
	}
	result := out.String()
	if result != "" && !strings.HasSuffix(result, "\n") {
		result += "\\ no newline\n"
	}
	if d.HasArg("err") {
		result += remarks(errs.String())
	}
	if code != 0 {
		result += fmt.Sprintf("exit %d\n", code)
	}
	if code != 0 && out.Len() == 0 && !d.HasArg("err") {
		t.Logf("%s: %s", d.Pos, errs.String())
	}
	if d.HasArg("any-order") {
		result = sortRows(result)
	}
	return s.abstract(result, d.HasArg("numbers"))
}

// sortRows sorts the lines behind the head of a table, or all where there is none.
func sortRows(text string) string {
	lines := strings.SplitAfter(strings.ReplaceAll("\n"+text, "\n \t", "\n\t")[1:], "\n") // the first ACL of a list has a blank more
	head := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "GROUP ") })
	slices.Sort(lines[head+1:])
	return strings.Join(lines, "")
}

// remarks are the lines of standard error that count, marked with "! ". Stack traces,
// what Java's clients log, and the list of options behind a mistake do not; neither
// does the order in which a set of options is listed, nor where argparse breaks lines.
func remarks(text string) string {
	if at := argparseMistake.FindStringIndex(text); at != nil && strings.HasPrefix(text, "usage: ") {
		mistake := text[at[1]:]
		return "! error: " + strings.ReplaceAll(strings.ReplaceAll(strings.Join(strings.Fields(mistake), " "), "-- ", "--"), "find- hanging", "find-hanging") + "\n"
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if usageHead.MatchString(line) {
			break
		}
		line = thrown.ReplaceAllString(line, "")
		if !noise.MatchString(line) {
			lines = append(lines, optionSet.ReplaceAllStringFunc(line, sortWords))
		}
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return ""
	}
	return "! " + strings.Join(lines, "\n! ") + "\n"
}

func sortWords(list string) string {
	words := strings.Split(list, ", ")
	slices.Sort(words)
	return strings.Join(words, ", ")
}

var (
	argparseMistake = regexp.MustCompile(`: +error: +`)
	usageHead       = regexp.MustCompile(`^Option (\(\* = required\))? +Description`)
	thrown          = regexp.MustCompile(`^Exception in thread "main" [\w.]+: `)
	optionSet       = regexp.MustCompile(`(\[[\w-]+\], )+\[[\w-]+\]|([A-Z]\w+, )+[A-Z]\w+$`)
	noise           = regexp.MustCompile(`^\tat |^Caused by: |^\t\.\.\. |^\[\d{4}-|^ \(org\.apache|KIP-848|^(java\.lang|java\.io|java\.text|joptsimple|org\.apache|com\.fasterxml)\.\S+(Exception|Error)\b.*$|^WARN New offset|^ERROR `)
)

// What differs from run to run, and what stands for it.
var (
	elr       = regexp.MustCompile(`Configs: min\.insync\.replicas=1,?`) // set for all topics where ELR is on
	topicID   = regexp.MustCompile(`TopicId: [\w-]{22}`)
	timestamp = regexp.MustCompile(`(Time:|commitTimestamp":)\d{13}`)
	address   = regexp.MustCompile(`127\.0\.0\.1:\d{5}`)
	broker    = regexp.MustCompile(`  \(\d\)`)
	uuid      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	logDir    = regexp.MustCompile(`"logDir":"[^"]*"`)
	clusterID = regexp.MustCompile(`(ClusterId: +)[\w-]{22}`)
	memberID  = regexp.MustCompile(`[\w+/-]{22}==`)
	decimal   = regexp.MustCompile(`-?\d+(\.\d+)?`)
)

func (s *stage) abstract(text string, numbers bool) string {
	text = strings.NewReplacer(s.prefix, placeholder, s.dir+"/", "DIR/").Replace(text)
	text = elr.ReplaceAllString(text, "Configs: ")
	text = topicID.ReplaceAllString(text, "TopicId: "+strings.Repeat("I", 22))
	text = timestamp.ReplaceAllString(text, "${1}"+strings.Repeat("T", 13))
	text = broker.ReplaceAllString(address.ReplaceAllString(text, "127.0.0.1:PPPPP"), "  (1)")
	text = uuid.ReplaceAllString(text, strings.Repeat("U", 36))
	text = logDir.ReplaceAllString(clusterID.ReplaceAllString(text, "${1}"+strings.Repeat("I", 22)), `"logDir":"DIR"`)
	text = memberID.ReplaceAllString(text, strings.Repeat("M", 24))
	if numbers {
		text = decimal.ReplaceAllStringFunc(text, func(n string) string {
			_, digits, found := strings.Cut(n, ".")
			if !found && n[0] == '-' { // a date: 2026-01-31
				return "-N"
			} else if !found {
				return "N"
			}
			return "N." + strings.Repeat("n", len(digits))
		})
		text = strings.ReplaceAll(text, " -N", " N")
	}
	return text
}

// words cuts a command line at blanks, but for those in quotes.
func words(line string) []string {
	var all []string
	word, quote, open := "", rune(0), false
	for _, r := range line {
		switch {
		case quote == 0 && (r == '\'' || r == '"'):
			quote, open = r, true
		case r == quote:
			quote = 0
		case r == ' ' && quote == 0:
			if open || word != "" {
				all = append(all, word)
			}
			word, open = "", false
		default:
			word += string(r)
		}
	}
	if open || word != "" {
		all = append(all, word)
	}
	return all
}

// join makes a member of a group consume a topic, and waits until it has partitions.
func (s *stage) join(t *testing.T, d *datadriven.TestData) string {
	var group, topic, client, protocol string
	d.ScanArgs(t, "group", &group)
	d.ScanArgs(t, "topic", &topic)
	d.ScanArgs(t, "client", &client)
	d.MaybeScanArgs(t, "protocol", &protocol)
	assigned := make(chan struct{}, 8)
	options := []kgo.Opt{kgo.SeedBrokers(s.bootstrap), kgo.ClientID(client), kgo.ConsumerGroup(s.concrete(group)), kgo.ConsumeTopics(s.concrete(topic)),
		kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} })}
	if protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	}
	if d.HasArg("instance") {
		var instance string
		d.ScanArgs(t, "instance", &instance)
		options = append(options, kgo.InstanceID(instance))
	}
	member, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	s.members[client] = member.Close
	select {
	case <-assigned:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: %s was given no partitions", d.Pos, client)
	}
	return ""
}

// leave ends a member.
func (s *stage) leave(t *testing.T, d *datadriven.TestData) string {
	var client string
	d.ScanArgs(t, "client", &client)
	s.members[client]()
	delete(s.members, client)
	return ""
}
