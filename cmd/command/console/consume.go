package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ConsumeOptions say what to consume and how to print it.
type ConsumeOptions struct {
	// Topic is one topic; Include is a pattern that whole names must match.
	Topic, Include string
	// Partition reads just that one, from Offset: a number, or session.Earliest or
	// session.Latest.
	Partition *int32
	Offset    int64
	// Max is how many records to print. Negative: all there will ever be.
	Max int64
	// Timeout ends the command when no record came for so long. Zero: never.
	Timeout   time.Duration
	Formatter Formatter
	// SkipOnError passes over records that cannot be printed.
	SkipOnError bool
	// CreateTopic lets the broker create the topic when it is set up to.
	CreateTopic bool
	// HideEpoch prints no leader epoch: Kafka's tool never has one.
	HideEpoch bool
}

// Consume prints records until one of the limits is reached or ctx ends, and then
// says how many there were. With the property group.id it is a member of a group
// and commits what it printed, nothing more.
func Consume(ctx context.Context, so session.Options, o ConsumeOptions) error {
	so.Role |= session.Consumer
	so.Properties.Default("client.id", "console-consumer")
	so.Client = append(so.Client, o.options(&so)...)
	s, err := session.Open(ctx, so)
	if err != nil {
		return err
	}
	c := consuming{s: s, o: &o, out: bufio.NewWriterSize(s.Out, 64<<10), marks: so.Role&session.Group != 0 && so.Properties["enable.auto.commit"] != "false"}
	err = c.run(ctx)
	if flushed := c.out.Flush(); flushed != nil && err == nil {
		err = errNobodyReads
	}
	c.leave(ctx)
	if errors.Is(err, errNobodyReads) {
		fmt.Fprintln(s.Err, "Unable to write to standard out, closing consumer.")
		err = nil
	}
	fmt.Fprintf(s.Err, "Processed a total of %d messages\n", c.count)
	return err
}

// errNobodyReads is the end of a pipe whose reader went away.
var errNobodyReads = errors.New("unable to write to standard out")

// options are what the client must know of o.
func (o *ConsumeOptions) options(so *session.Options) []kgo.Opt {
	var all []kgo.Opt
	switch {
	case o.Partition != nil:
		start := kgo.NewOffset().At(o.Offset)
		switch o.Offset {
		case session.Earliest:
			start = kgo.NewOffset().AtStart()
		case session.Latest:
			start = kgo.NewOffset().AtEnd()
		}
		return []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: {*o.Partition: start}})}
	case o.Topic != "":
		all = append(all, kgo.ConsumeTopics(o.Topic))
	default:
		all = append(all, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+o.Include+")$"))
	}
	if o.CreateTopic {
		all = append(all, kgo.AllowAutoTopicCreation())
	}
	if so.Properties["group.id"] != "" {
		so.Role |= session.Group
		if so.Properties["partition.assignment.strategy"] == "" {
			all = append(all, kgo.Balancers(kgo.RangeBalancer(), kgo.CooperativeStickyBalancer())) // Kafka's defaults
		}
		if so.Properties["enable.auto.commit"] != "false" {
			all = append(all, kgo.AutoCommitMarks())
		}
	}
	return all
}

// CheckPattern says what is wrong with a pattern of topics.
func CheckPattern(pattern string) error {
	_, err := regexp.Compile(pattern)
	return err
}

// consuming is one run of Consume.
type consuming struct {
	s     *session.Session
	o     *ConsumeOptions
	out   *bufio.Writer
	marks bool // records are marked to be committed
	count int64
	told  map[string]bool // what has been complained about
}

// run polls and prints.
func (c *consuming) run(ctx context.Context) error {
	for c.o.Max < 0 || c.count < c.o.Max {
		fetches, err := c.poll(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if fetches == nil {
			fmt.Fprintf(c.s.Err, "Error processing message, terminating consumer process: no message for %v\n", c.o.Timeout)
			return nil
		}
		for records := fetches.RecordIter(); !records.Done(); {
			if err := c.print(records.Next()); err != nil {
				return err
			}
		}
		if c.out.Flush() != nil {
			return errNobodyReads
		}
	}
	return nil
}

// poll waits for records. No fetches: the timeout passed without any.
func (c *consuming) poll(ctx context.Context) (kgo.Fetches, error) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if c.o.Timeout > 0 {
		wait, cancel = context.WithTimeout(ctx, c.o.Timeout)
	}
	defer cancel()
	for {
		most := 500
		if left := c.o.Max - c.count; c.o.Max >= 0 && left < int64(most) {
			most = int(left)
		}
		fetches := c.s.Client.PollRecords(wait, most)
		if fetches.NumRecords() > 0 || ctx.Err() != nil {
			return fetches, nil
		}
		if err := c.complain(fetches); err != nil {
			return nil, err
		}
		if wait.Err() != nil {
			return nil, nil
		}
	}
}

// complain prints each problem once, and returns those that will not pass.
func (c *consuming) complain(fetches kgo.Fetches) error {
	for _, problem := range fetches.Errors() {
		err := problem.Err
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			continue
		case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
			errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kgo.ErrClientClosed):
			return session.Refused(err, "")
		}
		if text := err.Error(); !c.told[text] {
			if c.told == nil {
				c.told = map[string]bool{}
			}
			c.told[text] = true
			fmt.Fprintf(c.s.Err, "WARN %s: %s\n", session.Partition{Topic: problem.Topic, Partition: problem.Partition}, text)
		}
	}
	return nil
}

func (c *consuming) print(r *kgo.Record) error {
	if c.o.HideEpoch {
		shown := *r
		shown.LeaderEpoch = -1
		defer c.mark(r)
		return c.format(&shown)
	}
	defer c.mark(r)
	return c.format(r)
}

func (c *consuming) format(r *kgo.Record) error {
	c.count++
	err := c.o.Formatter.Write(c.out, r)
	if err == nil || !c.o.SkipOnError {
		return err
	}
	fmt.Fprintf(c.s.Err, "ERROR Error processing message, skipping this message: %v\n", err)
	return nil
}

func (c *consuming) mark(r *kgo.Record) {
	if c.marks {
		c.s.Client.MarkCommitRecords(r)
	}
}

// leave commits what was printed and leaves the group, also when ctx has ended.
func (c *consuming) leave(ctx context.Context) {
	if c.marks {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if err := c.s.Client.CommitMarkedOffsets(bounded); err != nil {
			fmt.Fprintf(c.s.Err, "WARN commit offsets: %v\n", err)
		}
	}
	c.s.Close()
}
