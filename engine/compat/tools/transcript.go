package tools

import (
	"context"
	_ "embed" // the transcript
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaSaid is what Kafka's tools print on Apache Kafka, as transcript writes it with
//
//	COMPAT_TRANSCRIPT=$PWD/tools/transcript.txt go run . -target kafka -client java-tools -check tool-transcript
//
//go:embed transcript.txt
var kafkaSaid string

// transcript runs the tools for groups, settings and transactions, and looks whether they print word for word what they
// print on Apache Kafka, but for addresses, ids and times.
func (t *set) transcript(ctx context.Context) error {
	end, err := t.scene(ctx)
	if err != nil {
		return err
	}
	defer end()
	var b strings.Builder
	for line := range strings.Lines(conversation) {
		command := strings.Fields(strings.ReplaceAll(line, "NAME", t.Name("transcript")))
		s := t.tool(ctx, "", command[0], command[1:]...)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", s.command, ctx.Err())
		}
		fmt.Fprintf(&b, "$ %s%s", line, t.plain(s))
	}
	if file := os.Getenv("COMPAT_TRANSCRIPT"); file != "" {
		return os.WriteFile(file, []byte(b.String()), 0o644)
	}
	return differ(b.String(), kafkaSaid)
}

// conversation is what is asked, a command in each line.
const conversation = `kafka-consumer-groups --list
kafka-consumer-groups --list --state --type classic
kafka-consumer-groups --describe --group NAME
kafka-consumer-groups --describe --group NAME --verbose
kafka-consumer-groups --describe --group NAME --members
kafka-consumer-groups --describe --group NAME --state
kafka-consumer-groups --describe --group NAME-none
kafka-consumer-groups --reset-offsets --group NAME --topic NAME --to-latest --dry-run
kafka-consumer-groups --reset-offsets --group NAME --topic NAME:0 --to-offset 1 --execute
kafka-consumer-groups --delete-offsets --group NAME --topic NAME:0
kafka-consumer-groups --delete --group NAME --group NAME-none
kafka-configs --entity-type topics --entity-name NAME --describe --all
kafka-configs --entity-type topics --entity-name NAME --alter --add-config retention.ms=60000,cleanup.policy=[compact,delete]
kafka-configs --entity-type topics --entity-name NAME --describe
kafka-configs --entity-type topics --entity-name NAME --alter --add-config retention.ms=never
kafka-configs --entity-type topics --entity-name NAME --alter --delete-config segment.ms
kafka-configs --entity-type topics --entity-name NAME-none --describe
kafka-configs --entity-type brokers --entity-name 1 --describe
kafka-configs --entity-type groups --entity-name NAME --describe --all
kafka-transactions list
kafka-transactions describe --transactional-id NAME
kafka-transactions describe --transactional-id NAME-none
kafka-transactions describe-producers --topic NAME --partition 1
kafka-transactions find-hanging --topic NAME
`

// scene makes what is asked about: records, a group's offsets, and a transaction that is open until end.
func (t *set) scene(ctx context.Context) (end func(), err error) {
	name := t.Name("transcript")
	k, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.TransactionalID(name), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionTimeout(10*time.Minute)) // a Java tool for each line takes its time
	if err != nil {
		return nil, err
	}
	admin := kadm.NewClient(k)
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, name); err != nil {
		k.Close()
		return nil, fmt.Errorf("create topic %s: %w", name, err)
	}
	var offsets kadm.Offsets
	offsets.AddOffset(name, 0, 2, -1)
	offsets.AddOffset(name, 1, 1, 0)
	write := func(p int32, n int) error {
		for range n {
			if err := k.ProduceSync(ctx, &kgo.Record{Topic: name, Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
				return err
			}
		}
		return nil
	}
	err = steps(
		k.BeginTransaction,
		func() error { return write(0, 5) },
		func() error { return k.EndTransaction(ctx, kgo.TryCommit) },
		func() error { return admin.CommitAllOffsets(ctx, name, offsets) },
		k.BeginTransaction,
		func() error { return write(1, 3) },
	)
	if err != nil {
		k.Close()
		return nil, fmt.Errorf("set the scene: %w", err)
	}
	return func() {
		_ = k.EndTransaction(ctx, kgo.TryAbort) // the broker aborts it later if this does not
		k.Close()
	}, nil
}

// ours is what is known to differ and leaves no client in doubt: the settings that only Millrace has; those of share groups
// and of Streams groups, which come with these; and where Kafka has min.insync.replicas from, since it is founded with
// eligible leader replicas, for which one node has no use.
var ours = regexp.MustCompile(`(?m)^(flush\.mode|interceptors\.|share\.|streams\.).*\n|DYNAMIC_DEFAULT_BROKER_CONFIG:min\.insync\.replicas=1, `)

// Columns that hold ids and times.
var inconstant = []string{"ProducerId", "TransactionStartTimeMs", "CurrentTransactionStartTimeMs", "TransactionDurationMs", "LastTimestamp"}

var (
	traced = regexp.MustCompile(`^(at |Caused by: )`) // where in the tool something happened
	spaces = regexp.MustCompile(`[ \t]+`)
	logged = regexp.MustCompile(`^\[\d{4}-`) // what Kafka's logger says
)

// plain is what a tool printed, without what differs from run to run: addresses, ids, times, the widths of columns, and
// what belongs to others on the same broker.
func (t *set) plain(s said) string {
	var b strings.Builder
	var hidden []int
	for line := range strings.Lines(s.out + "\n" + s.err) {
		if strings.TrimSpace(line) == "" { // a table ends
			hidden = nil
			continue
		}
		line = strings.ReplaceAll(line, t.Bootstrap, "ADDRESS")
		line = strings.ReplaceAll(line, t.Name("transcript"), "NAME")
		line = strings.TrimSpace(spaces.ReplaceAllString(line, " "))
		foreign := strings.Contains(s.command, " --list") || strings.HasSuffix(s.command, " list")
		fields := strings.Fields(line)
		switch {
		case logged.MatchString(line) || traced.MatchString(line) || foreign && !strings.Contains(line, "NAME") && !strings.HasPrefix(line, "GROUP") && !strings.HasPrefix(line, "TransactionalId"):
			continue
		case slices.ContainsFunc(fields, func(f string) bool { return slices.Contains(inconstant, f) }):
			hidden = nil
			for i, f := range fields {
				if slices.Contains(inconstant, f) {
					hidden = append(hidden, i)
				}
			}
		default:
			for _, i := range hidden {
				if i < len(fields) {
					fields[i] = "#"
				}
			}
			line = strings.Join(fields, " ")
		}
		b.WriteString(line + "\n")
	}
	text := ours.ReplaceAllString(b.String(), "")
	if strings.Contains(s.command, "--reset-offsets") { // rows in the order of a hash table
		rows := strings.SplitAfter(text, "\n")
		slices.Sort(rows)
		text = strings.Join(rows, "")
	}
	return fmt.Sprintf("%sexit %d\n\n", text, s.exit)
}

// differ shows the first lines that are not the same, and the command that they belong to.
func differ(got, want string) error {
	asked := ""
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		one, other := at(g, i), at(w, i)
		if one != other {
			return fmt.Errorf("%s prints %q, want %q", asked, one, other)
		}
		if strings.HasPrefix(one, "$ ") {
			asked = one[2:]
		}
	}
	return nil
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}

// patient is the limit for a check that starts many JVMs.
const patient = 3 * time.Minute
