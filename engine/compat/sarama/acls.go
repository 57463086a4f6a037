package sarama

import (
	"context"
	"fmt"

	kafka "github.com/IBM/sarama"
	"github.com/millrace/millrace/engine/compat/report"
)

// acls: a rule that denies, made, listed and removed; a producer is denied and allowed again while it is connected.
// Brokers of this suite allow everybody what no rule is about.
func (c client) acls(ctx context.Context) error {
	topic, err := c.topic("acls", 1)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	p, err := kafka.NewSyncProducer([]string{c.Bootstrap}, config())
	if err != nil {
		return err
	}
	defer p.Close()
	produce := func() error {
		_, _, err := p.SendMessage(numbered(topic, 0, 0, 1)[0])
		return err
	}
	if err := produce(); err != nil {
		return fmt.Errorf("produce without a rule: %w", err)
	}
	resource := kafka.Resource{ResourceType: kafka.AclResourceTopic, ResourceName: topic, ResourcePatternType: kafka.AclPatternLiteral}
	rule := kafka.Acl{Principal: "User:ANONYMOUS", Host: "*", Operation: kafka.AclOperationWrite, PermissionType: kafka.AclPermissionDeny}
	if err := a.CreateACLs([]*kafka.ResourceAcls{{Resource: resource, Acls: []*kafka.Acl{&rule}}}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := report.Eventually(ctx, func() error { return want(produce(), kafka.ErrTopicAuthorizationFailed, "produce with a rule") }); err != nil {
		return err
	}
	filter := kafka.AclFilter{
		ResourceType: kafka.AclResourceTopic, ResourceName: &topic, ResourcePatternTypeFilter: kafka.AclPatternLiteral,
		Operation: kafka.AclOperationAny, PermissionType: kafka.AclPermissionAny,
	}
	listed, err := a.ListAcls(filter)
	if err != nil || len(listed) != 1 || len(listed[0].Acls) != 1 || *listed[0].Acls[0] != rule {
		return fmt.Errorf("list: %+v, %w", listed, err)
	}
	gone, err := a.DeleteACL(filter, false)
	if err != nil || len(gone) != 1 {
		return fmt.Errorf("delete: %+v, %w", gone, err)
	}
	return report.Eventually(ctx, produce)
}
