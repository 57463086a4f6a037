package command

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/millrace/millrace/cmd/command/plugin"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func pluginCommand(env *environment) *cobra.Command {
	return connected(env, parent("plugin", "Begin, build and load plugins",
		newPlugin(env), buildPlugin(env), wasmPlugin(env), verifyPlugin(env),
		loadPlugin(env, false), loadPlugin(env, true), unloadPlugin(env), listPlugins(env)))
}

// own is the Millrace that this program is made of.
func own() plugin.Module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return plugin.Own(info, plugin.Places()...)
}

func newPlugin(env *environment) *cobra.Command {
	var p plugin.Project
	cmd := &cobra.Command{
		Use: "new NAME", Short: "Begin a project that builds and tests",
		Long:    "Begin a plugin in a new folder of that name: code, tests and what builds them.",
		Example: "  millrace plugin new --kind interceptor --lang go redact",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Name, p.Own = args[0], own()
			if p.Folder == "" {
				p.Folder = p.Name
			}
			return plugin.New(env.Out, p)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.Kind, "kind", "interceptor", "what it is: "+strings.Join(plugin.Projects, ", "))
	flags.StringVar(&p.Language, "lang", "go", "language: go or rust")
	flags.StringVar(&p.Path, "module", "", "path of the Go module (default: NAME)")
	flags.StringVar(&p.Folder, "dir", "", "folder to make (default: NAME)")
	flags.StringVar(&p.Millrace, "millrace", "", "Millrace itself: a version, or a folder with its source (default: the version or the source of this program)")
	return cmd
}

func buildPlugin(env *environment) *cobra.Command {
	var with []string
	var from string
	b := plugin.Build{}
	cmd := &cobra.Command{
		Use: "build --with module@version[=path] -o FILE", Short: "Build a broker with plugins compiled in",
		Long:    "Build a millrace with the plugins of other modules in it. It needs a Go toolchain, and the network for modules that are not here yet.",
		Example: "  millrace plugin build --with example.com/redact@v1.2.0 -o millrace-redact\n  millrace plugin build --with redact=./redact --pgo cpu.pprof -o millrace-redact",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			for _, text := range with {
				m, err := plugin.ParseModule(text)
				if err != nil {
					return &usageError{err}
				}
				b.With = append(b.With, m)
			}
			var err error
			if b.Millrace, err = plugin.Source(from, own()); err != nil {
				return err
			}
			if from == "" && b.Millrace.Folder != "" {
				fmt.Fprintf(env.Err, "The broker takes Millrace from %s. Another folder or version can be named with --millrace.\n", b.Millrace.Folder)
			}
			b.Verbose = env.Err
			return b.Run(env.ctx)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&with, "with", nil, "module of a plugin: module@version, module=folder or module@version=folder (repeat)")
	flags.StringVar(&b.Profile, "pgo", "", "CPU profile to build with")
	flags.StringVarP(&b.Output, "output", "o", "millrace", "file to write")
	flags.StringVar(&from, "millrace", "", "Millrace itself: a version, or a folder with its source (default: the version or the source of this program)")
	if err := cmd.MarkFlagRequired("with"); err != nil {
		panic(err)
	}
	return cmd
}

func wasmPlugin(env *environment) *cobra.Command {
	var g plugin.Guest
	cmd := &cobra.Command{
		Use: "wasm DIR -o FILE", Short: "Make a WebAssembly module of a plugin",
		Long: "Make a WebAssembly module of a Go package that registers an interceptor, a partitioner, a serializer or an assignor, or of a Rust crate. " +
			"It needs Go, or cargo with the target wasm32-unknown-unknown.",
		Example: "  millrace plugin wasm ./redact -o redact.wasm",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			g.Folder, g.Verbose = args[0], env.Err
			done := env.Waiting("making " + g.Output)
			if _, err := os.Stat(filepath.Join(g.Folder, "Cargo.toml")); err == nil {
				done() // cargo says itself what it does
			}
			err := g.Run(env.ctx)
			done()
			if err != nil {
				return err
			}
			sum, err := plugin.Sum(g.Output)
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Out, "%s  %s\n", sum, g.Output)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&g.Output, "output", "o", "plugin.wasm", "file to write")
	flags.StringVar(&g.Kind, "kind", "", "what it is, if the package registers several kinds: "+strings.Join(plugin.Kinds, ", "))
	flags.StringVar(&g.Name, "name", "", "plugin, if the package registers several of the kind")
	flags.BoolVar(&g.FailClosed, "fail-closed", false, "no record may get past it unseen: on.error=skip is refused")
	return cmd
}

// settingFlags are --config and --limit, as settings of a plugin.
type settingFlags struct{ config, limits []string }

func (f *settingFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.config, "config", nil, "setting of the plugin, name=value (repeat)")
	cmd.Flags().StringArrayVar(&f.limits, "set", nil, "setting of its host, such as memory.max=16777216 (repeat)")
}

func (f *settingFlags) values() (map[string]string, error) {
	values := make(map[string]string)
	for prefix, pairs := range map[string][]string{"config.": f.config, "": f.limits} {
		given, err := plugin.Pairs(prefix, pairs)
		if err != nil {
			return nil, &usageError{err}
		}
		maps.Copy(values, given)
	}
	return values, nil
}

func verifyPlugin(env *environment) *cobra.Command {
	var f settingFlags
	var pinned string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Look whether a broker or a client would take a WebAssembly module",
		Long: "Load a WebAssembly module as brokers and clients do, with its limits, and say what it is. Nobody is asked.",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			values, err := f.values()
			if err != nil {
				return err
			}
			var said strings.Builder
			done := env.Waiting("looking at " + filepath.Base(args[0]))
			_, err = plugin.Verify(&said, args[0], pinned, values)
			done()
			fmt.Fprint(env.Out, said.String())
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&pinned, "sha256", "", "what the file must have")
	return cmd
}

func loadPlugin(env *environment, again bool) *cobra.Command {
	var f settingFlags
	var l plugin.Load
	var policy, deadLetter string
	cmd := &cobra.Command{
		Use: "load NAME FILE", Short: "Load a WebAssembly module into the brokers that run",
		Long: "Load a WebAssembly module: look whether it works, copy it to plugin.dir of the broker, and name it in the broker's settings. " +
			"With --topic, topics use it from now on. A plugin of that name is replaced without dropping a request.",
		Example: "  millrace plugin load redact redact.wasm --topic orders --config find=secret",
		Args:    arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			values, err := f.values()
			if err != nil {
				return err
			}
			l.Name, l.File, l.Settings, l.Again = args[0], args[1], values, again
			if policy != "" {
				l.Settings["on.error"] = policy
			}
			if deadLetter != "" {
				l.Settings["dlq.topic"] = deadLetter
			}
			return env.with(func(s *session.Session) error { return l.Run(env.ctx, s) })
		},
	}
	if again {
		cmd.Use, cmd.Short, cmd.Example = "reload NAME FILE", "Replace the file of a plugin, and keep its settings", "  millrace plugin reload redact redact.wasm"
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&l.Pinned, "sha256", "", "what the file must have (default: what it has)")
	flags.StringArrayVar(&l.Topics, "topic", nil, "topic that is to use it (repeat)")
	flags.BoolVar(&l.Fetch, "fetch", false, "topics use it when records are fetched, instead of when they are produced")
	flags.BoolVar(&l.Copied, "copied", false, "FILE is the name of a copy that lies in plugin.dir already")
	flags.StringVar(&policy, "on-error", "", "fail, skip or dlq (default fail)")
	flags.StringVar(&deadLetter, "dlq-topic", "", "topic of records that fail, with --on-error dlq")
	completeFlag(cmd, "topic", env.completeTopics())
	return cmd
}

func unloadPlugin(env *environment) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use: "unload NAME", Short: "Take a plugin out of the brokers, or off a topic",
		Long: "Take a plugin out of the brokers, which no topic may use any more. With --topic, only take it off those topics.",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return plugin.Unload(env.ctx, s, args[0], topics) })
		},
	}
	cmd.Flags().StringArrayVar(&topics, "topic", nil, "topic that is not to use it any more (repeat)")
	completeFlag(cmd, "topic", env.completeTopics())
	return cmd
}

func listPlugins(env *environment) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "list", Short: "List the plugins of the brokers, the topics that use them, and what they cost", Args: arguments(cobra.NoArgs),
		Long: "List the plugins of the brokers and the topics that use them. Records, faults and fuel are those of one broker since it started, " +
			"which its admin.listener tells; - when it cannot be asked.",
		RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return plugin.List(env.ctx, s, admin) })
		},
	}
	cmd.Flags().StringVar(&admin, "admin", "", "host:port of a broker's admin.listener (default: as its settings say)")
	return cmd
}
