"""A job from the first profile to the last variant, over any Flower Grid."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import RecordDict
from flwr.serverapp import Grid

from fedtailor.protos.errors import PlanError, RegistryError, RoundError
from fedtailor.protos.messages import Instruction, Profile
from fedtailor.protos.model_spec import ModelSpec
from fedtailor.protos.plan import Plan
from fedtailor.protos.schema import schema_of
from fedtailor.protos.summary import RoundRow, Summary
from fedtailor.protos.variant import Ladder
from fedtailor.protos.wire import from_bytes
from fedtailor.server.content import content_of
from fedtailor.server.fleet_plan import FleetPlan, start_plan
from fedtailor.server.job import Job
from fedtailor.server.progress import Progress
from fedtailor.server.records import (
    job_json,
    run_row,
    save_cohorts,
    save_ladder,
    save_plan,
    save_profile,
    save_scores,
    save_variant,
)
from fedtailor.server.registry import VARIANT, Registry, add_problems
from fedtailor.server.roster import PROFILE, Roster, enrol, wait_for_nodes
from fedtailor.server.rounds import CLOCK, Ask, Call, Clock, Exchange, exchange
