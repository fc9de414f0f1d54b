import type { Redacted } from "effect"

/** What the Kafka driver needs: `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_SSL`, `KAFKA_SASL_*`. */
export interface KafkaSettings {
  /** Bootstrap servers, each `host:port`. */
  readonly servers: ReadonlyArray<string>
  readonly ssl: boolean
  readonly sasl: Sasl | undefined
}

export interface Sasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted
}
