package groups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Delete deletes whole groups.
func Delete(ctx context.Context, s *session.Session, groups []string, all bool) error {
	names, err := scope(ctx, s, groups, all)
	if err != nil {
		return err
	}
	var deleted, failed []string
	if len(names) > 0 {
		answers, err := s.Admin.DeleteGroups(ctx, names...)
		if err != nil {
			return fmt.Errorf("delete groups: %w", err)
		}
		for _, one := range answers.Sorted() {
			if one.Err == nil {
				deleted = append(deleted, "'"+one.Group+"'")
				continue
			}
			failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", one.Group,
				session.Exception(session.Refused(one.Err, one.ErrMessage))))
		}
	}
	if len(failed) == 0 {
		fmt.Fprintf(s.Out, "Deletion of requested consumer groups (%s) was successful.\n", strings.Join(deleted, ", "))
		return nil
	}
	fmt.Fprintf(s.Out, "\nError: Deletion of some consumer groups failed:\n%s\n", strings.Join(failed, "\n"))
	if len(deleted) > 0 {
		fmt.Fprintf(s.Out, "\nThese consumer groups were deleted successfully: %s\n", strings.Join(deleted, ", "))
	}
	return session.ErrReported
}

// DeleteOffsets deletes what a group has committed for topics: topic, or topic:0,1.
func DeleteOffsets(ctx context.Context, s *session.Session, group string, topics []string) error {
	named, whole, err := parseTopics(topics)
	if err != nil {
		return err
	}
	status := map[session.Partition]error{}
	if len(whole) > 0 {
		found, err := s.Topics(ctx, whole...)
		if err != nil {
			return err
		}
		for _, name := range whole {
			if found[name].Err != nil {
				status[session.Partition{Topic: name, Partition: -1}] = found[name].Err
			}
			for _, p := range found[name].Partitions {
				named = append(named, session.Partition{Topic: name, Partition: p.Partition})
			}
		}
	}
	top := deleteOffsets(ctx, s, group, named, status)
	printTop(s.Out, group, top)
	printStatus(s.Out, status)
	if top != nil {
		return session.ErrReported
	}
	return nil
}

// deleteOffsets fills in the status of every partition and returns the error that
// stands for them all.
func deleteOffsets(ctx context.Context, s *session.Session, group string, named []session.Partition, status map[session.Partition]error) error {
	set := kadm.TopicsSet{}
	for _, p := range named {
		set.Add(p.Topic, p.Partition)
	}
	answers, top := s.Admin.DeleteOffsets(ctx, group, set)
	for _, p := range named {
		err := top
		if err == nil {
			err, _ = answers.Lookup(p.Topic, p.Partition)
		}
		status[p] = err
	}
	if top != nil {
		return top
	}
	for _, p := range named {
		if status[p] != nil {
			return status[p]
		}
	}
	return nil
}

func printTop(w io.Writer, group string, top error) {
	var code *kerr.Error
	switch {
	case top == nil:
		fmt.Fprintf(w, "Request succeeded for deleting offsets from group %s.\n", group)
	case errors.Is(top, kerr.InvalidGroupID), errors.Is(top, kerr.GroupIDNotFound), errors.Is(top, kerr.GroupAuthorizationFailed), errors.Is(top, kerr.NonEmptyGroup):
		fmt.Fprintf(w, "\nError: %s\n", session.Message(top))
	case errors.Is(top, kerr.GroupSubscribedToTopic), errors.Is(top, kerr.TopicAuthorizationFailed), errors.Is(top, kerr.UnknownTopicOrPartition):
		fmt.Fprintln(w, "\nError: Encountered some partition-level error, see the follow-up details.")
	case errors.As(top, &code):
		fmt.Fprintf(w, "\nError: Encountered some unknown error: %s\n", code.Message)
	default:
		fmt.Fprintf(w, "\nError: Encountered some unknown error: %v\n", top)
	}
}

func printStatus(w io.Writer, status map[session.Partition]error) {
	width := 15
	for p := range status {
		width = max(width, len(p.Topic))
	}
	line := func(topic, partition, text string) {
		fmt.Fprintf(w, "\n%-*s %-10s %-15s", width, topic, partition, text)
	}
	line("TOPIC", "PARTITION", "STATUS")
	order := slices.SortedFunc(maps.Keys(status), func(a, b session.Partition) int {
		return strings.Compare(a.Topic+strconv.Itoa(int(a.Partition)), b.Topic+strconv.Itoa(int(b.Partition)))
	})
	for _, p := range order {
		partition, text := strconv.Itoa(int(p.Partition)), "Successful"
		if p.Partition < 0 {
			partition = missing
		}
		if status[p] != nil {
			text = "Error: " + session.Exception(status[p])
		}
		line(p.Topic, partition, text)
	}
	fmt.Fprintln(w)
}
