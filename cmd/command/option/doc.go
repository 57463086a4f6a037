// Package option reads a command line as Kafka's tools do. Most of them parse
// with joptsimple, the producer performance test with argparse4j; scripts rely
// on what each accepts and on what each says when it does not.
//
//	joptsimple   --topic orders   --topic=orders   -topic orders   --state [stable]
//	argparse     --command-property linger.ms=10 batch.size=32768 (as many as follow)
//
// An option is declared once; parsing, checks and help read that declaration.
package option
