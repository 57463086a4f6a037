// Package standard imports every plugin that ships: a program that imports it can name them
// all in settings.
package standard

import (
	_ "github.com/millrace/millrace/plugins/consistentrandom"
	_ "github.com/millrace/millrace/plugins/murmur2"
	_ "github.com/millrace/millrace/plugins/roundrobin"
	_ "github.com/millrace/millrace/plugins/sticky"
	_ "github.com/millrace/millrace/plugins/zoneaware"
)
