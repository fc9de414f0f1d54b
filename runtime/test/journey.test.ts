import { inOneProcess } from "./harness/deployment.ts"
import { testJourney } from "./journey.ts"

testJourney([inOneProcess])
