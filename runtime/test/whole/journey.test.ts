import { inOneProcess, shapes } from "../harness/deployment.ts"
import { testJourney } from "../journey.ts"

testJourney((await shapes()).filter((shape) => shape !== inOneProcess))
