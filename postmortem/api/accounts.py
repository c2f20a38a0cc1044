"""People, teams and features: read to pick an owner or a feature; administrators add."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from postmortem.accounts import selectors, services
from postmortem.accounts.models import Person, Role, Team
from postmortem.api.base import ApiView
from postmortem.incidents.models import Feature
from postmortem.incidents.selectors import features
from postmortem.lib.errors import UserError


class TeamSerializer(serializers.ModelSerializer):
    """A team."""

    class Meta:
        model = Team
        fields = ("id", "name")


class PersonSerializer(serializers.ModelSerializer):
    """A person."""

    team = TeamSerializer(allow_null=True)

    class Meta:
        model = Person
        fields = ("id", "name", "email", "role", "team", "is_active")


class FeatureSerializer(serializers.ModelSerializer):
    """An AI feature."""

    team = TeamSerializer(allow_null=True)

    class Meta:
        model = Feature
        fields = ("id", "name", "team", "trace_name", "environment")


class NewPersonSerializer(serializers.Serializer):
    """What an account needs; without a password nobody signs in with it yet."""

    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=120)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.REVIEWER)
    team = serializers.IntegerField(required=False, allow_null=True, default=None)
    password = serializers.CharField(required=False, allow_null=True, default=None, max_length=1000)


class NewTeamSerializer(serializers.Serializer):
    """A team's name."""

    name = serializers.CharField(max_length=120)


class PeopleView(ApiView):
    """Active people."""

    serializer_class = PersonSerializer

    @extend_schema(responses=PersonSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Everybody who can own and decide."""
        return self.page(selectors.active_people(), PersonSerializer)

    @extend_schema(request=NewPersonSerializer, responses={201: PersonSerializer})
    def post(self, request: Request) -> Response:
        """Administrators add an account."""
        body = self.body(NewPersonSerializer)
        team_id = body.pop("team")
        team = Team.objects.filter(pk=team_id).first() if team_id is not None else None
        if team_id is not None and team is None:
            raise UserError(f"There is no team {team_id}; list the teams to find its id.")
        person = services.create_person(**body, team=team, by=self.person)
        return Response(PersonSerializer(person).data, status=status.HTTP_201_CREATED)


class TeamsView(ApiView):
    """Teams."""

    serializer_class = TeamSerializer

    @extend_schema(responses=TeamSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All teams by name."""
        return self.page(selectors.teams(), TeamSerializer)

    @extend_schema(request=NewTeamSerializer, responses={201: TeamSerializer})
    def post(self, request: Request) -> Response:
        """Administrators add a team."""
        team = services.create_team(**self.body(NewTeamSerializer), by=self.person)
        return Response(TeamSerializer(team).data, status=status.HTTP_201_CREATED)


class MergeTeamSerializer(serializers.Serializer):
    """The team that stays."""

    into = serializers.IntegerField()


class TeamMergeView(ApiView):
    """Two teams that became one."""

    serializer_class = MergeTeamSerializer

    @extend_schema(request=MergeTeamSerializer, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Administrators move everybody of a team to another one; owners of action items stay owners."""
        teams = {team.pk: team for team in selectors.teams()}
        into = self.body(MergeTeamSerializer)["into"]
        if pk not in teams or into not in teams:
            raise UserError("There is no such team; list them to find its id.")
        services.merge_teams(team=teams[pk], into=teams[into], by=self.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class FeaturesView(ApiView):
    """AI features."""

    serializer_class = FeatureSerializer

    @extend_schema(responses=FeatureSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All features by name."""
        return self.page(features(), FeatureSerializer)
