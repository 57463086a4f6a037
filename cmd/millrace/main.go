// Command millrace is a broker for every Kafka client, its tools, and a load
// generator. Copy this file to build one with plugins of your own.
package main

import (
	"os"

	"github.com/millrace/millrace/cmd/command"
	_ "github.com/millrace/millrace/plugins/standard"
)

func main() { os.Exit(command.Main(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
