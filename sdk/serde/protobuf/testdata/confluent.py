"""Writes with Confluent's serializers, and reads with its deserializers, what the Go test
beside it reads and writes. Arguments: the registry's address, then name=hex of what Go has
written. Prints name=hex of what this has written, and name:value of what it has read.

Needs confluent-kafka with its extras avro, protobuf and json, and a folder with the Python
code of shop/*.proto beside it on PYTHONPATH."""
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from shop import order_pb2

AVRO = """{"type":"record","name":"Order","namespace":"shop","fields":[
{"name":"id","type":"string"},{"name":"cents","type":"long"}]}"""
JSON = """{"title":"Order","type":"object","properties":{"id":{"type":"string"},"cents":{"type":"integer"}}}"""

client = SchemaRegistryClient({"url": sys.argv[1]})
value = {"id": "o1", "cents": -3}
line = order_pb2.Order.Line(article="a", count=2)


def context(topic):
    return SerializationContext(topic, MessageField.VALUE)


written = {
    "avro": AvroSerializer(client, AVRO)(value, context("py-avro")),
    "json": JSONSerializer(JSON, client)(value, context("py-json")),
    "protobuf": ProtobufSerializer(order_pb2.Order.Line, client, {"use.deprecated.format": False})(line, context("py-protobuf")),
}
for name, data in written.items():
    print(f"{name}={data.hex()}")

readers = {
    "avro": AvroDeserializer(client),
    "json": JSONDeserializer(JSON, schema_registry_client=client),
    "protobuf": ProtobufDeserializer(order_pb2.Order.Line, {"use.deprecated.format": False}),
}
for argument in sys.argv[2:]:
    name, text = argument.split("=")
    read = readers[name](bytes.fromhex(text), context("go-" + name))
    if name == "protobuf":
        read = {"article": read.article, "count": read.count}
    print(f"{name}:{read}")
