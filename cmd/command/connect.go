package command

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/groups"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

// connectFlags say which cluster to talk to.
type connectFlags struct {
	servers string
	config  string
	pairs   []string
	wait    time.Duration
}

// serverVariable names a cluster for those who do not want to name it each time.
const serverVariable = "MILLRACE_BOOTSTRAP_SERVER"

// connected adds the flags to a command and its children, and completes groups.
func connected(env *environment, cmd *cobra.Command) *cobra.Command {
	flags := cmd.PersistentFlags()
	flags.StringVarP(&env.connect.servers, "bootstrap-server", "b", "", "brokers to connect to, host:port,host:port (default 127.0.0.1:9092, or $"+serverVariable+")")
	flags.StringVarP(&env.connect.config, "command-config", "c", "", "properties file for the client, as Kafka's tools take it")
	flags.StringArrayVarP(&env.connect.pairs, "command-property", "X", nil, "property for the client, name=value (repeat; stronger than the file)")
	flags.DurationVar(&env.connect.wait, "wait", 0, "how long to wait for a broker to answer (default 10s)")
	return cmd
}

// options are those of a session, as the flags have it.
func (e *environment) options() (session.Options, error) {
	o := session.Options{Streams: e.Streams, Properties: session.Properties{}, Wait: e.connect.wait}
	if e.connect.config != "" {
		if err := o.Properties.Load(e.connect.config); err != nil {
			return o, err
		}
	}
	o.Properties.Merge(e.connect.pairs)
	o.Servers = cmp.Or(e.connect.servers, o.Properties["bootstrap.servers"], os.Getenv(serverVariable), "127.0.0.1:9092")
	return o, nil
}

// with opens a session, does the work and closes it.
func (e *environment) with(work func(s *session.Session) error) error {
	o, err := e.options()
	if err != nil {
		return err
	}
	s, err := session.Open(e.ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	return work(s)
}

// completion is how long a shell may be kept waiting for names.
const completion = time.Second

// complete asks the cluster for names that begin as what was typed.
func (e *environment) complete(names func(ctx context.Context, s *session.Session) ([]string, error)) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(e.ctx, completion)
		defer cancel()
		o, err := e.options()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		o.Wait = completion
		s, err := session.Open(ctx, o)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.Close()
		all, err := names(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(all, func(name string) bool {
			return !strings.HasPrefix(name, typed) || slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

func (e *environment) completeTopics() cobra.CompletionFunc { return e.complete(topicNames) }
func (e *environment) completeGroups() cobra.CompletionFunc { return e.complete(groups.Names) }

func topicNames(ctx context.Context, s *session.Session) ([]string, error) {
	all, err := s.Topics(ctx)
	var names []string
	for name, topic := range all {
		if !topic.Internal {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// completeFlag lets a flag complete; a flag that is not there is a mistake in this
// package.
func completeFlag(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
