package topics

import (
	"context"
	"fmt"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// List prints the names that match pattern ("": all), one a line.
func List(ctx context.Context, s *session.Session, pattern string, excludeInternal bool) error {
	all, err := s.Topics(ctx)
	if err != nil {
		return err
	}
	names, err := choose(all, pattern, excludeInternal)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out, strings.Join(names, "\n"))
	return nil
}

// AlterOptions say which topics to give more partitions.
type AlterOptions struct {
	Topics     string // a pattern
	Partitions int32  // how many there shall be
	Assignment string // as in CreateOptions; those of partitions that exist are skipped
	IfExists   bool   // nothing to alter is a success
}

// Alter adds partitions.
func Alter(ctx context.Context, s *session.Session, o AlterOptions) error {
	assignment, err := parseAssignment(o.Assignment)
	if err != nil {
		return err
	}
	all, err := s.Topics(ctx)
	if err != nil {
		return err
	}
	names, err := choose(all, o.Topics, false)
	if err != nil {
		return err
	}
	if err := missing(names, o.Topics, !o.IfExists); err != nil || len(names) == 0 {
		return err
	}
	request := kmsg.NewPtrCreatePartitionsRequest()
	for _, name := range names {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, o.Partitions
		for i := len(all[name].Partitions); i < len(assignment); i++ {
			one := kmsg.NewCreatePartitionsRequestTopicAssignment()
			one.Replicas = assignment[i]
			topic.Assignment = append(topic.Assignment, one)
		}
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	for _, answer := range response.Topics {
		if err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), text(answer.ErrorMessage)); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes the topics that match pattern.
func Delete(ctx context.Context, s *session.Session, pattern string, ifExists bool) error {
	all, err := s.Topics(ctx)
	if err != nil {
		return err
	}
	names, err := choose(all, pattern, false)
	if err != nil {
		return err
	}
	if err := missing(names, pattern, !ifExists); err != nil || len(names) == 0 {
		return err
	}
	answers, err := s.Admin.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	for _, answer := range answers.Sorted() {
		if answer.Err != nil {
			return session.Refused(answer.Err, answer.ErrMessage)
		}
	}
	return nil
}
