// Package serve is the command that runs a broker.
package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
)

// stopGrace is how long answers that are owed may take when the broker stops.
const stopGrace = 10 * time.Second

// Command is `millrace serve`.
func Command() *cobra.Command {
	var overrides []string
	var helpSettings string
	c := &cobra.Command{
		Use:   "serve [server.properties]",
		Short: "Run a broker",
		Long: "Run a broker until it is told to stop (SIGINT, SIGTERM).\n\n" +
			"Without a file it serves on 127.0.0.1:9092 and keeps its data in ./millrace-data.\n" +
			"A file has the form, and the names, of Kafka's server.properties.",
		Args:          cobra.MaximumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch helpSettings {
			case "":
			case "table":
				return config.Help(cmd.OutOrStdout(), width())
			case "markdown":
				return config.Page(cmd.OutOrStdout())
			default:
				return fmt.Errorf("--help-settings=%s: use table or markdown", helpSettings)
			}
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			settings, err := config.Load(file, overrides)
			if err != nil {
				return err
			}
			return run(cmd.Context(), settings, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	c.Flags().StringArrayVar(&overrides, "override", nil, "a setting that wins over the file, as `key=value`; may be repeated")
	c.Flags().StringVar(&helpSettings, "help-settings", "", "list every setting and exit: as a `table` or as markdown")
	c.Flags().Lookup("help-settings").NoOptDefVal = "table"
	return c
}

// width is how wide the terminal is, 100 when there is none.
func width() int {
	if w, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		return w
	}
	return 100
}

// roomForLoops gives the scheduler as many processors again as there are. A loop that
// waits for its sockets keeps its processor until the runtime's monitor takes that away,
// which may be 10 ms later; without spare ones a woken shard waits for it. GOMAXPROCS in
// the environment wins.
func roomForLoops() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.NumCPU())
	}
}

// collectSeldom has the collector run seldom (gc.percent) while there is little to collect,
// for the steady paths allocate nothing and what grows the heap is a burst, and hard only when the broker's budget is spent. GOGC and GOMEMLIMIT in the environment win.
func collectSeldom(settings *config.Broker) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(config.GCPercent.Of(settings.Values))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(engine.MemoryBudget(settings))
	}
}

func run(ctx context.Context, settings *config.Broker, out, errOut io.Writer) error {
	roomForLoops()
	collectSeldom(settings)
	log := logger(settings, errOut)
	for _, warning := range settings.Warnings {
		log.Warn(warning)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	b, err := engine.Start(engine.Options{Settings: settings, Log: log})
	if err != nil {
		return err
	}
	greet(out, b)
	log.Info("started", "took", time.Since(begin).Round(time.Millisecond), "version", engine.Version, "admin", b.AdminAddress())
	var failure error
	select {
	case <-ctx.Done():
		stop() // a second signal ends the process at once
		log.Info("stopping")
	case failure = <-b.Failed():
		log.Error("the broker cannot go on", "error", failure)
	}
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if err := b.Stop(grace); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped")
	return failure
}

// greet prints the three lines that a newcomer needs.
func greet(out io.Writer, b *engine.Broker) {
	address := b.Addresses()[0]
	fmt.Fprintf(out, "Millrace listens on %s\n", strings.Join(b.Addresses(), ", "))
	fmt.Fprintf(out, "Data is in          %s\n", strings.Join(b.Folders(), ", "))
	fmt.Fprintf(out, "Try                 echo hello | millrace produce --bootstrap-server %s --topic first && millrace consume --bootstrap-server %s --topic first --from-beginning\n", address, address)
}

func logger(settings *config.Broker, out io.Writer) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(config.LoggerLevel.Of(settings.Values))) != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if strings.EqualFold(config.LoggerFormat.Of(settings.Values), "json") {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
