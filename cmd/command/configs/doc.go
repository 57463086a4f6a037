// Package configs describes and alters the settings that a cluster keeps for
// topics, brokers, groups, clients and users, printing what Kafka's tool prints.
package configs
