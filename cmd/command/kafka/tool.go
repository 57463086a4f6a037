package kafka

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

// Version is that of the Kafka whose tools these stand in for.
const Version = "4.3.1"

// Tool is one of Kafka's tools.
type Tool struct {
	Name string
	set  option.Set
	// run does the work once options are read. Errors that it returns are reported
	// by fail.
	run func(c *call) error
	// fail prints an error and says what the exit code is. Nil: on standard error,
	// and 1.
	fail func(c *call, err error) int
	// helpFails says that asking for help is a failure although the tool reads its
	// options with argparse.
	helpFails bool
}

// call is one run of a tool.
type call struct {
	session.Streams
	ctx   context.Context
	args  []string
	tool  *Tool
	given *option.Given
}

// Tools are all of them, by name.
func Tools() []*Tool {
	return []*Tool{topicsTool(), producerTool(), consumerTool(), groupsTool(), configsTool(), aclsTool(), offsetsTool(), producerPerfTool(), consumerPerfTool(),
		kindsTool(), logDirsTool(), deleteRecordsTool(), transactionsTool(), featuresTool(), quorumTool(), dumpTool()}
}

// Lookup finds the tool that a program was called as: /usr/bin/kafka-topics.sh.
func Lookup(program string) (*Tool, bool) {
	name := strings.TrimSuffix(filepath.Base(program), ".sh")
	for _, tool := range Tools() {
		if tool.Name == name {
			return tool, true
		}
	}
	return nil, false
}

// Run does what args ask for and returns the exit code.
func (t *Tool) Run(ctx context.Context, streams session.Streams, args []string) int {
	c := &call{Streams: streams, ctx: ctx, args: args, tool: t}
	var err error
	c.given, err = t.set.Parse(args)
	switch {
	case err == nil && c.given.Has("version"):
		fmt.Fprintln(c.Out, Version)
		return 0
	case len(args) == 0 && len(t.set.Commands) == 0 || err == nil && c.given.Has("help"):
		return c.help()
	case err == nil:
		err = t.run(c)
	}
	switch {
	case err == nil:
		return 0
	case t.fail != nil:
		return t.fail(c, err)
	}
	return c.failed(err)
}

// help prints what the tool is for and its options. Kafka's tools call that a
// failure, except for those that read their options with argparse.
func (c *call) help() int {
	if c.tool.set.Argparse {
		c.tool.set.Synopsis(c.Out)
		fmt.Fprintf(c.Out, "\n%s\n\n", c.tool.set.Summary)
		c.tool.set.Usage(c.Out)
		c.tool.set.CommandUsage(c.Out)
		if c.tool.helpFails {
			return 1
		}
		return 0
	}
	return c.usage(c.tool.set.Summary)
}

// usage prints a message and the options.
func (c *call) usage(message string) int {
	fmt.Fprintln(c.Err, message)
	c.tool.set.Usage(c.Err)
	return 1
}

// failed is how most tools end when something went wrong.
func (c *call) failed(err error) int {
	var mistake *option.Error
	var misuse *session.Misuse
	var value *option.ValueError
	switch {
	case errors.Is(err, session.ErrReported):
	case errors.As(err, &mistake), errors.As(err, &misuse):
		return c.usage(err.Error())
	case errors.As(err, &value):
		fmt.Fprintln(c.Err, err)
	default:
		fmt.Fprintln(c.Err, session.Exception(err))
	}
	return 1
}

// failPlain is how tools end that print the usage only behind what is missing, and not
// behind an option that they do not know.
func failPlain(c *call, err error) int {
	var mistake *option.Error
	switch {
	case errors.As(err, &mistake) && c.parsed():
		return c.usage(err.Error())
	case !errors.Is(err, session.ErrReported):
		fmt.Fprintln(c.Err, session.Exception(err))
	}
	return 1
}

// options are those of a session, with the properties of the file that the option
// file names and of the pairs given with the option pairs. "": there is no such option.
func (c *call) options(file, pairs string) (session.Options, error) {
	o := session.Options{Streams: c.Streams, Servers: c.given.Text("bootstrap-server"), Properties: session.Properties{}}
	if file != "" && c.given.Has(file) {
		if err := o.Properties.Load(c.given.Text(file)); err != nil {
			return o, err
		}
	}
	if pairs != "" {
		o.Properties.Merge(c.given.Texts(pairs))
	}
	return o, nil
}

// open opens a session as an admin client.
func (c *call) open() (*session.Session, error) {
	o, err := c.options("command-config", "")
	if err != nil {
		return nil, err
	}
	return session.Open(c.ctx, o)
}

// Options that many tools have.

func required(name, metavar, help string) option.Option {
	return option.Option{Name: name, Argument: option.Required, Metavar: metavar, Help: help}
}

func repeated(name, metavar, help string) option.Option {
	return option.Option{Name: name, Argument: option.Required, Metavar: metavar, Help: help, Repeat: true}
}

func number(name string, kind option.Kind, otherwise, metavar, help string) option.Option {
	return option.Option{Name: name, Argument: option.Required, Kind: kind, Default: otherwise, Metavar: metavar, Help: help}
}

func toggle(name, help string) option.Option { return option.Option{Name: name, Help: help} }

func withHelp(options ...option.Option) []option.Option {
	return append(options, toggle("help", "Print usage information."), toggle("version", "Display Kafka version."))
}

func bootstrap(help string) option.Option {
	return required("bootstrap-server", "server to connect to", help)
}

func adminConfig() option.Option {
	return required("command-config", "command config property file", "Property file with settings of the admin client.")
}

// long is the value of an option that may be absent.
func (c *call) long(name string) *int64 {
	if !c.given.Has(name) {
		return nil
	}
	n := c.given.Long(name)
	return &n
}
