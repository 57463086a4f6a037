package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/millrace/millrace/cmd/bench"
	"github.com/millrace/millrace/cmd/command/kafka"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/pprof"
	"github.com/millrace/millrace/cmd/serve"
	"github.com/millrace/millrace/cmd/tune"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// constructors make the sub-commands. A new one is added here, and nowhere else.
var constructors = []func(*environment) *cobra.Command{
	func(*environment) *cobra.Command { return serve.Command() },
	topicsCommand,
	produceCommand,
	consumeCommand,
	groupsCommand,
	configsCommand,
	aclsCommand,
	transactionsCommand,
	featuresCommand,
	clusterCommand,
	doctorCommand,
	logCommand,
	pluginCommand,
	linkCommand,
	func(*environment) *cobra.Command { return bench.Command() },
	func(*environment) *cobra.Command { return bench.ReportCommand() },
	func(*environment) *cobra.Command { return pprof.Command() },
	func(*environment) *cobra.Command { return tune.Command() },
}

// environment is what every sub-command gets: the streams, and the flags that all
// which talk to a broker share.
type environment struct {
	session.Streams
	ctx     context.Context
	connect connectFlags
}

// Main runs the program that was called as args[0] and returns the exit code.
func Main(args []string, in, out, errs *os.File) int {
	streams := session.Streams{In: in, Out: out, Err: errs, Terminal: term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))}
	if term.IsTerminal(int(errs.Fd())) {
		streams.Screen = errs
	}
	signal.Ignore(syscall.SIGPIPE) // writing to a closed pipe is an error like any other
	ctx, caught := untilSignal()
	code := Run(ctx, args, streams)
	if _, _, ok := kafkaTool(args); !ok {
		return code
	}
	select {
	case number := <-caught:
		return 128 + int(number) // as the tools end that run in Java
	default:
		return code
	}
}

// kafkaTool is the tool of Kafka's that the program was called as, by its own name or
// as its first argument, and what is left of the arguments.
func kafkaTool(args []string) (*kafka.Tool, []string, bool) {
	if tool, ok := kafka.Lookup(args[0]); ok {
		return tool, args[1:], true
	}
	if len(args) > 1 {
		if tool, ok := kafka.Lookup(args[1]); ok && tool.Name == args[1] {
			return tool, args[2:], true
		}
	}
	return nil, nil, false
}

// untilSignal is a context that ends with SIGINT or SIGTERM; the channel tells
// which it was. A second signal ends the program at once.
func untilSignal() (context.Context, <-chan syscall.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	caught := make(chan syscall.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		number, _ := (<-signals).(syscall.Signal)
		signal.Stop(signals)
		caught <- number
		cancel()
	}()
	return ctx, caught
}

// Run is Main without the process around it.
func Run(ctx context.Context, args []string, streams session.Streams) int {
	if tool, rest, ok := kafkaTool(args); ok {
		return tool.Run(ctx, streams, rest)
	}
	root := Root(ctx, streams)
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var misuse *session.Misuse
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, session.ErrReported):
		return 1
	case errors.As(err, &misuse), errors.As(err, &usage):
		fmt.Fprintf(streams.Err, "millrace: %v\n", err)
		return 2
	}
	fmt.Fprintf(streams.Err, "millrace: %v\n", err)
	return 1
}

// Root is the command line as a whole.
func Root(ctx context.Context, streams session.Streams) *cobra.Command {
	env := &environment{Streams: streams, ctx: ctx}
	root := &cobra.Command{
		Use:   "millrace",
		Short: "A broker for every Kafka client, its tools, and a load generator",
		Long: "Millrace is a broker that Kafka clients can use, with tools for any Kafka cluster and a load generator.\n\n" +
			"Called as kafka-topics, kafka-console-producer and so on (see `millrace link`) it takes the options of Kafka's tools.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w (try `%s --help`)", err, cmd.CommandPath())}
	})
	for _, constructor := range constructors {
		root.AddCommand(constructor(env))
	}
	return root
}

// usageError is a mistake in flags or arguments.
type usageError struct{ error }

func (u *usageError) Unwrap() error { return u.error }

// arguments makes a usage error of what a check of cobra's says.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{fmt.Errorf("%s: %w (try `%s --help`)", cmd.CommandPath(), err, cmd.CommandPath())}
		}
		return nil
	}
}

// parent is a command that only holds others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}

// version is the module's, as the build has recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
