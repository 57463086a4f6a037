// Package setting declares a configuration key once. The parser of
// server.properties, the help text, DescribeConfigs, AlterConfigs and the
// reference page all read that one declaration, so that a name, a default or a
// limit is never said twice.
//
//	declare            parse, check             resolve               read
//	Set ──────────▶ Declaration ──────▶ Layers ──────────▶ Values ──────────▶ SegmentBytes.Of(values)
//
// A Layer holds texts as somebody gave them (one file, one broker's dynamic
// settings, one topic's overrides). Resolving puts the layers on top of each
// other, the highest first, and yields Values: an immutable snapshot that any
// goroutine may read without a lock and without allocating.
//
// One setting may have three kinds of name:
//
//	log.retention.ms                              its name, in server.properties
//	log.retention.minutes, log.retention.hours    synonyms, looked at in that order in each layer
//	retention.ms                                  its twin: the name a topic overrides it by
//
// A topic's Values answer for every setting: those with a twin from the topic's
// overrides first, all others as the broker's Values do.
package setting
