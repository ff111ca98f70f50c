"""COMPOSE: what users call. The only package that knows every layer below it."""

from stepzero.api.checking import PROBES as PROBES
from stepzero.api.checking import check as check
from stepzero.api.checking import trace as trace
from stepzero.api.fanning import fans as fans
from stepzero.api.fixing import fix_ as fix_
